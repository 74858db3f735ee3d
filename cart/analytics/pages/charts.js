// A chart of values by day, drawn by uPlot; usable with mouse, touch and arrow keys.
/* global uPlot */

const DAY_SECONDS = 86_400;
const MAX_BARS = 120; // more bars would be thinner than the gaps between them; then an area is drawn
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

const secondsOf = (day) => Date.parse(day) / 1000;

/**
 * Draw values by day in an element; an earlier chart in it is replaced.
 * @param {HTMLElement} element
 * @param {{day: string, value: number}[]} points one for each day, in order
 * @param {{colour: string, label: string, textOf: (index: number) => string, onMove: (index: number | null) => void}} options
 *   `colour`: name of a CSS custom property; `label`: the chart's accessible name; `textOf`: a day and its value as
 *   text; `onMove`: called with the index of the day under the pointer, null if there is none
 */
export function drawDays(element, points, { colour, label, textOf, onMove }) {
  element.chart?.destroy();
  element.chart = null;
  element.replaceChildren();
  if (points.every((point) => point.value === 0)) {
    element.textContent = "Nothing on these days";
    addKeyboardSlider(element, points.length, label, textOf);
    return;
  }
  const ink = resolveColour(element, colour);
  const axis = {
    stroke: resolveColour(element, "--muted"),
    font: `12px ${getComputedStyle(element).fontFamily}`,
    grid: { stroke: resolveColour(element, "--line"), width: 1 },
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
        y: { range: (_, __, highest) => [0, highest > 0 ? highest * 1.1 : 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 64,
          size: 28,
          splits: (self) => daysToLabel(days, self.width),
          values: (_, splits) => splits.map((second) => shortDay.format(second * 1000)),
        },
        {
          ...axis,
          size: 52,
          space: 40,
          values: (_, splits) => splits.map((value) => compact.format(value)),
        },
      ],
      series: [
        {},
        {
          stroke: ink,
          points: { show: false },
          ...(points.length > MAX_BARS
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
  addKeyboardSlider(element, points.length, label, textOf);
  observer.observe(element);
}

const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    target.chart?.setSize({ width: target.clientWidth, height: target.clientHeight });
  }
});

/** Return the colour of a CSS custom property in a form that a canvas accepts: it does not support `light-dark()`. */
function resolveColour(element, property) {
  element.style.color = `var(${property})`;
  const { color } = getComputedStyle(element);
  element.style.color = "";
  return color;
}

/** Return the days to label on the axis: evenly spaced, as many as fit, none at an edge where it would be cut off. */
function daysToLabel(days, width) {
  const step = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(width / 80))));
  return days.filter((_, index) => index % step === step >> 1);
}

/** Make the chart a slider for keyboards and screen readers: arrow keys move from day to day, and each is read out. */
function addKeyboardSlider(element, count, label, textOf) {
  let current = count - 1;
  const goTo = (index) => {
    current = Math.min(Math.max(index, 0), count - 1);
    element.setAttribute("aria-valuenow", current + 1);
    element.setAttribute("aria-valuetext", textOf(current));
  };
  const attributes = { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 1, "aria-valuemax": count };
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  goTo(current);
  const { chart } = element;
  const movePointer = () => chart?.setCursor({ left: chart.valToPos(chart.data[0][current], "x"), top: 0 });
  element.onfocus = () => element.matches(":focus-visible") && movePointer();
  element.onblur = () => chart?.setCursor({ left: -10, top: -10 });
  element.onkeydown = (event) => {
    const steps = {
      ...{ ArrowLeft: current - 1, ArrowDown: current - 1, ArrowRight: current + 1, ArrowUp: current + 1 },
      ...{ Home: 0, End: count - 1 },
    };
    if (event.key in steps) {
      event.preventDefault();
      goTo(steps[event.key]);
      movePointer();
    }
  };
}
