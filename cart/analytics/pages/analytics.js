// The page: requests the figures from the API and displays them; asks for a token if the API requires one.
import { ApiError, download, isSignedIn, read, signIn } from "./api.js";
import { drawDays } from "./charts.js";

const DAY_MS = 86_400_000;
const TOP_PRODUCTS = 10;

const whole = new Intl.NumberFormat();
const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const longDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });

const $ = (id) => document.getElementById(id);
const figures = {}; // the last successful responses: summary, abandonment, products
const query = new URLSearchParams(location.search);
let span = { days: 30 }; // either a number of days up to today, or { from, to }
let sort = "units";
let loading = new AbortController();

const periodText = (days) => longDay.formatRange(Date.parse(days[0].day), Date.parse(days.at(-1).day));
const dayText = (day) => longDay.format(Date.parse(day));
const rateText = (rate) => (rate === null ? "–" : percent.format(rate));
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? "") && !Number.isNaN(Date.parse(text));
const period = () => (span.days ? lastDays(span.days) : span);
const top = () => ({ sort, limit: TOP_PRODUCTS });

function lastDays(count) {
  const iso = (ms) => new Date(ms).toISOString().slice(0, 10);
  return { from: iso(Date.now() - (count - 1) * DAY_MS), to: iso(Date.now()) };
}

// --- loading

async function load() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  $("figures").setAttribute("aria-busy", "true");
  showChoice();
  try {
    const [summary, abandonment, products] = await Promise.all([
      read("summary", period(), signal),
      read("abandonment", period(), signal),
      read("products", top(), signal),
    ]);
    Object.assign(figures, { summary, abandonment, products });
    showState();
    draw();
  } catch (error) {
    if (error.name !== "AbortError") {
      showState(error);
    }
  }
  if (!signal.aborted) {
    $("figures").setAttribute("aria-busy", "false");
  }
}

/** Display the figures; or, after an error, the token form, or the error above the last figures. */
function showState(error) {
  const needsToken = error?.status === 401 || error?.status === 403;
  $("token-form").hidden = !needsToken;
  $("error").hidden = !error || needsToken;
  $("figures").hidden = needsToken;
  $("figures").classList.toggle("unread", !figures.summary);
  if (needsToken) {
    askForToken(error);
  } else if (error) {
    showError(error);
  }
}

function askForToken(error) {
  const reasons = {
    401: isSignedIn() ? "The token is not valid, or has expired." : "These figures need a token with the admin scope.",
    403: "The token is valid, but lacks the admin scope.",
  };
  $("token-reason").textContent = reasons[error.status];
  $("token").setAttribute("aria-invalid", isSignedIn());
  $("token").value = "";
  $("token").focus();
}

function showError(error) {
  const isFromApi = error instanceof ApiError;
  if (!isFromApi) {
    console.error(error);
  }
  $("error-title").textContent = isFromApi ? error.message : "The figures cannot be shown";
  $("error-detail").textContent = isFromApi ? error.detail : "";
  $("retry").hidden = error.status === 422; // the same query would be refused again
  $("error-id").textContent = error.requestId ? `Request ${error.requestId}` : "";
}

// --- display

function showChoice() {
  $("from").value = period().from;
  $("to").value = period().to;
  for (const button of document.querySelectorAll("[data-days]")) {
    button.setAttribute("aria-pressed", Number(button.dataset.days) === span.days);
  }
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.setAttribute("aria-pressed", button.dataset.sort === sort);
  }
  for (const heading of document.querySelectorAll("[data-of]")) {
    heading.setAttribute("aria-sort", heading.dataset.of === sort ? "descending" : "none");
  }
  history.replaceState(null, "", `?${new URLSearchParams({ ...span, sort })}`);
}

function draw() {
  const { summary, abandonment, products } = figures;
  $("value-now").textContent = money.format(summary.totals.value);
  $("units-now").textContent = whole.format(summary.totals.units);
  $("lines-now").textContent = whole.format(summary.totals.lines);
  $("empty").hidden = summary.totals.lines > 0 || summary.days.some((day) => day.lines_added || day.lines_abandoned);
  drawFlow("added", "Value added", summary.days, "value_added", abandonment.total);
  drawFlow("abandoned", "Value abandoned", abandonment.days, "value_abandoned", abandonment.total);
  fillRows("added-rows", [...summary.days].reverse(), (day) => [
    ...[dayText(day.day), whole.format(day.lines_added), whole.format(day.units_added), money.format(day.value_added)],
    ...[whole.format(day.lines_removed), whole.format(day.carts_cleared)],
  ]);
  fillRows("abandoned-rows", [...abandonment.days].reverse(), (day) => [
    ...[dayText(day.day), whole.format(day.lines_abandoned), money.format(day.value_abandoned)],
    rateText(day.value_rate),
  ]);
  drawProducts(products.products);
}

/** Draw a chart of a value by day, and above it the value of the whole period or of the day under the pointer. */
function drawFlow(name, label, days, field, total) {
  const showValue = (flow, when) => {
    $(`${name}-value`).textContent = money.format(flow[field]);
    $(`${name}-when`).textContent = when;
    if (name === "abandoned") {
      $("abandoned-share").textContent = flow.value_rate === null ? "" : `${percent.format(flow.value_rate)} of value added`;
    }
  };
  const showAll = () => showValue(total, periodText(days));
  showAll();
  drawDays($(`${name}-chart`), days.map((day) => ({ day: day.day, value: day[field] })), {
    colour: `--${name}`,
    label: `${label} by day, ${periodText(days)}: ${money.format(total[field])} together`,
    textOf: (index) => `${dayText(days[index].day)}: ${money.format(days[index][field])}`,
    onMove: (index) => (index === null ? showAll() : showValue(days[index], dayText(days[index].day))),
  });
}

function drawProducts(products) {
  const highest = products[0]?.[sort] || 1;
  $("no-products").hidden = products.length > 0;
  document.querySelector(".products table").hidden = products.length === 0;
  const rows = fillRows("product-rows", products, (product) => [
    ...[`Product ${product.product_id}`, whole.format(product.carts), whole.format(product.units)],
    money.format(product.value),
  ]);
  rows.forEach((row, index) => {
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${(100 * products[index][sort]) / highest}%`;
    row.firstChild.append(bar);
  });
}

/** Replace the rows of a table body: one row for each item; its first cell is the row's heading. */
function fillRows(id, items, cellsOf) {
  const rows = items.map((item) => {
    const row = document.createElement("tr");
    cellsOf(item).forEach((text, index) => {
      const cell = document.createElement(index ? "td" : "th");
      cell.textContent = text;
      if (index === 0) {
        cell.scope = "row";
      }
      row.append(cell);
    });
    return row;
  });
  $(id).replaceChildren(...rows);
  return rows;
}

// --- controls

for (const button of document.querySelectorAll("[data-days]")) {
  button.addEventListener("click", () => {
    span = { days: Number(button.dataset.days) };
    load();
  });
}
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    ({ sort } = button.dataset);
    load();
  });
}
for (const button of document.querySelectorAll("[data-csv]")) {
  const path = button.dataset.csv;
  button.addEventListener("click", () => download(path, path === "products" ? top() : period()).catch(showState));
}
$("period").addEventListener("submit", (event) => event.preventDefault());
$("period").addEventListener("change", () => {
  if (isDay($("from").value) && isDay($("to").value)) {
    span = { from: $("from").value, to: $("to").value };
    load();
  }
});
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn($("token").value);
  load();
});
for (const id of ["retry", "refresh"]) {
  $(id).addEventListener("click", load);
}
document.addEventListener("themechange", () => figures.summary && draw());

if (isDay(query.get("from")) && isDay(query.get("to"))) {
  span = { from: query.get("from"), to: query.get("to") };
} else if (document.querySelector(`[data-days="${Number(query.get("days"))}"]`)) {
  span = { days: Number(query.get("days")) };
}
if (["units", "carts", "value"].includes(query.get("sort"))) {
  sort = query.get("sort");
}
load();
