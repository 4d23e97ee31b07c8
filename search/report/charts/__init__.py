"""Charts: one file each, from rows and records to Plotly figures as plain values."""
