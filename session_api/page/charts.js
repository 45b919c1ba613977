/**
 * Latencies as small charts: a bar for each of the last ones, with the figures beside them in words.
 *
 * Promises: what the chart shows is readable without it; draws only what has changed.
 */

import { duration, h, svg, text } from "./ui.js";

const BARS = 60;
const HEIGHT = 32;

/** A chart of `latencies`: `{node, update()}`. `hint` says what begins and what ends the time. */
export function chart({ latencies, name, hint }) {
  const bars = Array.from({ length: BARS }, (_, at) =>
    svg("rect", { x: at * 4, width: 3, y: HEIGHT, height: 0, rx: 1 }),
  );
  const line = svg("line", { x1: 0, x2: BARS * 4, y1: HEIGHT, y2: HEIGHT, class: "median" });
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${BARS * 4} ${HEIGHT}`, preserveAspectRatio: "none", class: "bars", "aria-hidden": "true" },
    ...bars,
    line,
  );
  const last = h("span", { class: "figure" }, "–");
  const rest = h("span", { class: "muted" }, "nothing yet");
  const node = h(
    "div",
    { class: "chart" },
    h("div", { class: "chart-head" }, h("h4", {}, name), last),
    picture,
    h("p", { class: "small" }, rest),
    h("p", { class: "small muted hint" }, hint),
  );
  let shown = 0;
  return {
    node,
    update() {
      if (latencies.count === shown) return;
      shown = latencies.count;
      const { last: latest, median, p95, max } = latencies.summary;
      text(last, duration(latest));
      text(rest, `median ${duration(median)} · p95 ${duration(p95)} · ${latencies.count} in all`);
      place(bars, latencies.items, max);
      const y = HEIGHT - height(median, max);
      line.setAttribute("y1", y);
      line.setAttribute("y2", y);
    },
  };
}

function place(bars, values, max) {
  const free = bars.length - values.length;
  bars.forEach((bar, at) => {
    const tall = at < free ? 0 : height(values[at - free], max);
    bar.setAttribute("height", tall.toFixed(1));
    bar.setAttribute("y", (HEIGHT - tall).toFixed(1));
  });
}

function height(value, max) {
  return max > 0 ? Math.max(1.5, (value / max) * (HEIGHT - 2)) : 1.5;
}
