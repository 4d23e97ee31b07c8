"use strict";
// Adds charts, sorting, filtering, copying and the choice of a colour scheme. The page can be read without it.
(() => {
  const root = document.documentElement;
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];
  const stored = (key, value) => {
    try {
      return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value);
    } catch {
      return null; // some browsers have no storage for files
    }
  };

  // The colour scheme: the system's until the reader chooses one.
  const system = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const isDark = () => !printing && (root.dataset.scheme ? root.dataset.scheme === "dark" : system.matches);
  const chosen = stored("scheme");
  if (chosen === "dark" || chosen === "light") root.dataset.scheme = chosen;
  root.classList.add("js");

  const whenParsed = (then) =>
    document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", then) : then();

  // The leaderboard.
  const SHORT = 25;
  function leaderboard(board) {
    const table = board.querySelector("table");
    const lines = find("tbody", table);
    const order = new Map(lines.map((line, place) => [line, place]));
    const more = board.querySelector(".more");
    const count = board.querySelector(".count");
    let all = lines.length <= SHORT + 5;

    function show() {
      const filters = find("select", board).filter((select) => select.value);
      let matching = 0;
      let shown = 0;
      for (const line of find("tbody", table)) {
        const matches = filters.every(({ name, value }) => !line.dataset[name] || line.dataset[name] === value);
        matching += matches;
        line.hidden = !matches || (!all && matching > SHORT);
        shown += !line.hidden;
      }
      more.hidden = shown === matching;
      more.textContent = `Show all ${matching} rows`;
      count.textContent = shown === lines.length ? `${lines.length} rows` : `${shown} of ${lines.length} rows`;
    }

    function sort(head) {
      const column = [...head.parentNode.children].indexOf(head);
      const before = head.getAttribute("aria-sort");
      const direction = before === "ascending" ? "descending" : before === "descending" ? "none" : "ascending";
      find("th", table.tHead).forEach((other) => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", direction);
      const key = (line) => line.rows[0].cells[column].dataset.sort ?? "";
      const isNumber = head.classList.contains("number");
      const compare = (a, b) => {
        const [left, right] = [key(a), key(b)];
        if (!left || !right) return !left - !right || order.get(a) - order.get(b); // empty cells come last
        const gap = isNumber ? left - right : left.localeCompare(right, undefined, { numeric: true });
        return (direction === "ascending" ? gap : -gap) || order.get(a) - order.get(b);
      };
      const sorted = direction === "none" ? lines : [...lines].sort(compare);
      table.append(...sorted);
      show();
    }

    find("thead button", table).forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));
    find("select", board).forEach((select) => select.addEventListener("change", show));
    more.addEventListener("click", () => {
      all = true;
      show();
    });
    for (const line of lines) {
      const toggle = line.querySelector(".toggle");
      toggle?.addEventListener("click", () => {
        const isOpen = line.classList.toggle("open");
        toggle.setAttribute("aria-expanded", isOpen);
      });
    }
    show();
  }

  // Copying.
  async function copy(button) {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // without a clipboard, the text is selected for Ctrl-C
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }

  // The charts. The library lies compressed at the end of the page and is unpacked after the page has loaded.
  const drawn = new Map();
  let figures = {};
  let texts = [];
  let darkColors = {};

  const tint = (value) => {
    if (typeof value === "string") return darkColors[value] ?? value;
    if (Array.isArray(value)) return value.map(tint);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, tint(inner)]));
    return value;
  };
  const withTexts = (trace) => {
    const { hovertext } = trace;
    if (hovertext === undefined) return trace;
    return { ...trace, hovertext: Array.isArray(hovertext) ? hovertext.map((place) => texts[place]) : texts[hovertext] };
  };
  const inScheme = (value) => (isDark() ? tint(value) : structuredClone(value));

  function template(style) {
    const [ink, soft, line, paper] = ["--ink", "--soft", "--line", "--paper"].map((name) => {
      style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    });
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line, automargin: true };
    const text = { color: soft, size: 11.5 };
    const axes = { ...axis, tickfont: text, title: { font: { ...text, size: 12 }, standoff: 8 } };
    return {
      layout: {
        font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: { ...axes, showline: true, ticks: "outside", ticklen: 4 },
        yaxis: axes,
        margin: { l: 56, r: 14, t: 34, b: 44 },
        hovermode: "closest",
        hoverlabel: { bgcolor: paper, bordercolor: line, align: "left", font: { color: ink, size: 12 } },
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: text, itemclick: false, itemdoubleclick: false },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
        dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      },
      data: { scatter: [{ showlegend: false, hoverinfo: "text" }], bar: [{ showlegend: false }] },
    };
  }
  const probe = document.createElement("span");
  const canHover = matchMedia("(hover: hover)");

  const OPTIONS = {
    displaylogo: false,
    responsive: true,
    modeBarButtons: [["toImage", "zoom2d", "resetScale2d"]], // without the default button that sends a chart to a server
    plotlyServerURL: "",
    toImageButtonOptions: { format: "svg" },
  };

  function draw(chart) {
    const plot = chart.querySelector(".plot");
    const views = figures[chart.dataset.chart];
    const view = drawn.get(chart) ?? Object.keys(views)[0];
    const figure = inScheme(views[view]);
    figure.data = figure.data.map(withTexts);
    const layout = { ...figure.layout, template: template(probe.style), height: Number(plot.dataset.height) };
    const small = chart.classList.contains("slice");
    layout.width = printing ? (small ? 290 : PAGE) : undefined;
    plot.querySelector(".pending")?.remove();
    drawn.set(chart, view);
    Plotly.react(plot, figure.data, layout, { ...OPTIONS, displayModeBar: small || !canHover.matches ? false : "hover" });
  }
  // In print, the width of a column is not known here, so that charts are scaled like images.
  const PAGE = 900;
  function scale(plot) {
    const shape = plot.querySelector(".svg-container");
    const [width, height] = [parseFloat(shape.style.width), parseFloat(shape.style.height)];
    shape.style.setProperty("--shape", `${width} / ${height}`);
    find(".main-svg", plot).forEach((svg) =>
      printing ? svg.setAttribute("viewBox", `0 0 ${width} ${height}`) : svg.removeAttribute("viewBox"),
    );
  }
  const isVisible = (chart) => !chart.closest("details:not([open])");
  const redraw = () => [...drawn.keys()].filter(isVisible).forEach(draw);

  function showError(reason) {
    find(".chart .pending").forEach((note) => {
      note.textContent = `This chart cannot be drawn: ${reason}. The tables hold its figures.`;
    });
  }

  async function unpack() {
    const packed = document.getElementById("library");
    if (!packed?.textContent.trim()) throw new Error("the page lacks its plot library");
    if (!window.DecompressionStream) throw new Error("this browser cannot unpack the plot library");
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    packed.remove();
    performance.mark("library");
    if (!window.Plotly) throw new Error("the plot library did not start");
  }

  const whenIdle = window.requestIdleCallback ?? ((then) => setTimeout(then, 16));
  const pause = () => new Promise((then) => whenIdle(then, { timeout: 300 }));

  async function drawAll(charts) {
    for (const chart of charts) {
      if (drawn.has(chart) || !isVisible(chart)) continue;
      await pause();
      if (!drawn.has(chart) && isVisible(chart)) draw(chart);
    }
  }

  async function drawCharts() {
    const charts = find(".chart[data-chart]");
    if (!charts.length) {
      root.dataset.charts = "none";
      return;
    }
    try {
      ({ figures, texts, dark: darkColors } = JSON.parse(document.getElementById("drawn").textContent));
      await unpack();
    } catch (error) {
      showError(error instanceof DOMException || error instanceof TypeError ? "its plot library is damaged" : error.message);
      root.dataset.charts = "missing";
      return;
    }
    for (const chart of charts) {
      find(".views button", chart).forEach((button) =>
        button.addEventListener("click", () => {
          find(".views button", chart).forEach((other) => other.setAttribute("aria-pressed", other === button));
          drawn.set(chart, button.value);
          draw(chart);
        }),
      );
    }
    find("details").forEach((part) => part.addEventListener("toggle", () => drawAll(find(".chart[data-chart]", part))));
    system.addEventListener("change", redraw);
    addEventListener("beforeprint", () => {
      printing = true;
      charts.filter(isVisible).forEach(draw);
      find(".plot").filter((plot) => plot.querySelector(".svg-container")).forEach(scale);
    });
    addEventListener("afterprint", () => {
      printing = false;
      find(".plot").filter((plot) => plot.querySelector(".svg-container")).forEach(scale);
      redraw();
    });
    await drawAll(charts);
    root.dataset.charts = "drawn";
  }

  whenParsed(() => {
    probe.hidden = true;
    document.body.append(probe);
    const scheme = document.querySelector(".scheme");
    scheme.hidden = false;
    scheme.addEventListener("click", () => {
      root.dataset.scheme = isDark() ? "light" : "dark";
      stored("scheme", root.dataset.scheme);
      redraw();
    });
    find(".board").forEach(leaderboard);
    for (const code of find(".command code")) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
      button.className = "copy";
      button.addEventListener("click", () => copy(button));
      code.after(button);
    }
    // The text is painted before the charts are drawn.
    requestAnimationFrame(() => setTimeout(drawCharts));
  });
})();
