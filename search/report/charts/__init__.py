"""The charts of the HTML page, one file each: Plotly figures as plain values."""
