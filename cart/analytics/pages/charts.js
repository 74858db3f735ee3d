// One chart: values by day, drawn by uPlot, read by mouse, touch or arrow keys.
/* global uPlot */

const DAY_SECONDS = 86_400;
const MOST_BARS = 120; // more would be thinner than what separates them: then it is an area
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

const secondsOf = (day) => Date.parse(day) / 1000;

/**
 * Draw values by day in an element, in place of what was drawn there before.
 * @param {HTMLElement} element
 * @param {{day: string, value: number}[]} points one for each day, in order
 * @param {{colour: string, label: string, textOf: (index: number) => string, onMove: (index: number | null) => void}} options
 *   `colour` is its custom property, `textOf` says a day in words, `onMove` hears which day is pointed at
 */
export function drawDays(element, points, { colour, label, textOf, onMove }) {
  element.chart?.destroy();
  element.chart = null;
  element.replaceChildren();
  if (points.every((point) => point.value === 0)) {
    element.textContent = "Nothing on these days";
    beReadByKeys(element, points.length, label, textOf);
    return;
  }
  const ink = resolved(element, colour);
  const axis = {
    stroke: resolved(element, "--muted"),
    font: `12px ${getComputedStyle(element).fontFamily}`,
    grid: { stroke: resolved(element, "--line"), width: 1 },
    ticks: { show: false },
  };
  const days = points.map((point) => secondsOf(point.day));
  const values = points.map((point) => point.value);
  const chart = new uPlot(
    {
      width: element.clientWidth,
      height: element.clientHeight,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: false, y: false },
        y: false,
        points: { show: false },
        sync: { key: "days" },
      },
      scales: {
        x: { range: () => [days[0] - DAY_SECONDS / 2, days.at(-1) + DAY_SECONDS / 2] },
        y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 64,
          size: 28,
          splits: (self) => daysToName(days, self.width),
          values: (_, shown) => shown.map((second) => shortDay.format(second * 1000)),
        },
        {
          ...axis,
          size: 52,
          space: 40,
          values: (_, shown) => shown.map((value) => compact.format(value)),
        },
      ],
      series: [
        {},
        {
          stroke: ink,
          points: { show: false },
          ...(points.length > MOST_BARS
            ? { width: 1.5, fill: ink.replace(/rgb\((.*)\)/, "rgba($1, 0.15)") }
            : { width: 0, fill: ink, paths: uPlot.paths.bars({ size: [0.7, 28], radius: 0.15 }) }),
        },
      ],
      hooks: { setCursor: [(self) => onMove(self.cursor.idx ?? null)] },
    },
    [days, values],
    element,
  );
  element.chart = chart;
  beReadByKeys(element, points.length, label, textOf);
  observer.observe(element);
}

const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    target.chart?.setSize({ width: target.clientWidth, height: target.clientHeight });
  }
});

/** A custom property's colour as a canvas takes it, which does not know of `light-dark()`. */
function resolved(element, property) {
  element.style.color = `var(${property})`;
  const { color } = getComputedStyle(element);
  element.style.color = "";
  return color;
}

/** Days that are named below: as many as there is room for, evenly, none at the edge where its name would be cut. */
function daysToName(days, width) {
  const every = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(width / 80))));
  return days.filter((_, index) => index % every === every >> 1);
}

/** A slider, to those who see no chart: arrow keys go from day to day, and each is said. */
function beReadByKeys(element, count, label, textOf) {
  let at = count - 1;
  const goTo = (index) => {
    at = Math.min(Math.max(index, 0), count - 1);
    element.setAttribute("aria-valuenow", at + 1);
    element.setAttribute("aria-valuetext", textOf(at));
  };
  const attributes = { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 1, "aria-valuemax": count };
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  goTo(at);
  const { chart } = element;
  const point = () => chart?.setCursor({ left: chart.valToPos(chart.data[0][at], "x"), top: 0 });
  element.onfocus = () => element.matches(":focus-visible") && point();
  element.onblur = () => chart?.setCursor({ left: -10, top: -10 });
  element.onkeydown = (event) => {
    const steps = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: count - 1 };
    if (event.key in steps) {
      event.preventDefault();
      goTo(steps[event.key]);
      point();
    }
  };
}
