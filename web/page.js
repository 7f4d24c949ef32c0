// SPDX-License-Identifier: GPL-2.0-or-later
// Shows /metrics and /flows, read again and again while somebody looks.
"use strict";

const PERIOD_MS = 2000;
const WINDOW_MS = 60000;
const ROWS_MAX = 100;
const REQUESTS = {
  "HTTP, inbound": ["http_server_request_duration_seconds"],
  "HTTP, outbound": ["http_client_request_duration_seconds"],
  "gRPC, inbound": ["rpc_server_call_duration_seconds", "rpc_server_duration_seconds"],
  "gRPC, outbound": ["rpc_client_call_duration_seconds", "rpc_client_duration_seconds"],
  "Connect, inbound": ["sluice_connect_duration_seconds", "", "inbound"],
  "Connect, outbound": ["sluice_connect_duration_seconds", "", "outbound"],
};
const OUTBOUND = ["http_client_request_duration_seconds", "rpc_client_call_duration_seconds"];
const OUTBOUND_OLD = ["http_client_request_duration_seconds", "rpc_client_duration_seconds"];

const element = (id) => document.getElementById(id);
const history = []; // {at, samples}, the oldest first

// ---- The text format: Map of name to [{labels, value}] ----

const UNESCAPED = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };

function parseLabels(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g))
    labels[name] = value.replace(/\\[\\"n]/g, (c) => UNESCAPED[c]);
  return labels;
}

function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!m)
      continue;
    if (!samples.has(m[1]))
      samples.set(m[1], []);
    samples.get(m[1]).push({ labels: parseLabels(m[2] || ""), value: Number(m[3]) });
  }
  return samples;
}

function sum(samples, name, matches = () => true) {
  let total = 0;
  for (const s of samples.get(name) || [])
    total += matches(s.labels) ? s.value : 0;
  return total;
}

// ---- Rates and quantiles between two readings ----

// The reading that numbers are compared with: the oldest within the window.
const before = () => history[0];
const now = () => history[history.length - 1];

function rate(name, matches) {
  if (history.length < 2)
    return 0;
  const last = history[history.length - 2];
  const change = sum(now().samples, name, matches) - sum(last.samples, name, matches);
  return Math.max(0, change) * 1000 / (now().at - last.at);
}

// Within the window if something happened in it, else since the start.
function recent(name, matches) {
  const all = sum(now().samples, name, matches);
  const change = all - sum(before().samples, name, matches);
  return change > 0 ? change : all;
}

// Buckets of all series that match, not cumulative: [[upper bound, count]].
function buckets(samples, name, matches) {
  const by = new Map();
  for (const s of samples.get(name + "_bucket") || []) {
    if (!matches(s.labels))
      continue;
    const le = s.labels.le === "+Inf" ? Infinity : Number(s.labels.le);
    by.set(le, (by.get(le) || 0) + s.value);
  }
  return [...by].sort((a, b) => a[0] - b[0]);
}

function quantile(q, name, matches) {
  const total = recent(name + "_count", matches);
  const all = sum(now().samples, name + "_count", matches);
  const old = total < all ? new Map(buckets(before().samples, name, matches)) : new Map();
  const cumulative = buckets(now().samples, name, matches)
    .map(([le, count]) => [le, count - (old.get(le) || 0)]);
  if (!total)
    return NaN;
  let below = 0, from = 0;
  for (const [le, count] of cumulative) {
    if (count >= q * total)
      return le === Infinity ? from : from + (le - from) * (q * total - below) / (count - below);
    below = count;
    from = le;
  }
  return from;
}

// ---- Words ----

function duration(s) {
  if (Number.isNaN(s))
    return "–";
  if (s < 0.001)
    return `${Math.round(s * 1e6)} µs`;
  if (s < 1)
    return `${(s * 1000).toPrecision(3)} ms`;
  return s < 120 ? `${s.toPrecision(3)} s` : `${Math.round(s / 60)} min`;
}

function amount(n, unit = "") {
  const steps = ["", "k", "M", "G", "T"];
  let i = 0;
  for (; n >= 1000 && i < steps.length - 1; i++)
    n /= 1000;
  const digits = i || !Number.isInteger(n) ? (n < 10 ? 2 : n < 100 ? 1 : 0) : 0;
  return `${n.toFixed(digits)} ${steps[i]}${unit}`.trim();
}

// ---- The document ----

function cells(id, rows, nothing) {
  const body = element(id).tBodies[0];
  body.replaceChildren(...rows.map((row) => {
    const tr = document.createElement("tr");
    for (const cell of row) {
      const td = document.createElement("td");
      td.textContent = cell;
      tr.append(td);
    }
    return tr;
  }));
  if (rows.length)
    return;
  const td = body.insertRow().insertCell();
  td.colSpan = element(id).tHead.rows[0].cells.length;
  td.className = "none";
  td.textContent = nothing;
}

const tiles = new Map(); // name to {value, line, points}

function tile(name, value, text) {
  if (!tiles.has(name)) {
    const box = document.createElement("div");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const t = { value: document.createElement("b"), points: [],
                line: document.createElementNS(svg.namespaceURI, "polyline") };
    const label = document.createElement("span");
    box.className = "tile";
    label.textContent = name;
    svg.setAttribute("viewBox", "0 0 59 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.append(t.line);
    box.append(t.value, label, svg);
    element("tiles").append(box);
    tiles.set(name, t);
  }
  const t = tiles.get(name);
  t.value.textContent = text;
  t.points = [...t.points, value].slice(-60);
  const most = Math.max(...t.points) || 1;
  t.line.setAttribute("points",
                      t.points.map((p, i) => `${i},${(19 - 18 * p / most).toFixed(1)}`).join(" "));
}

function showArmed(samples) {
  const armed = samples.get("sluice_armed");
  const badge = element("armed");
  badge.className = `badge ${armed ? (armed[0].value ? "good" : "bad") : "unsure"}`;
  badge.textContent = armed ? (armed[0].value ? "armed" : "not armed") : "not known yet";
  badge.title = armed && !armed[0].value ? "new connections go past this proxy" : "";
}

function showAbout(samples) {
  const build = samples.get("sluice_build_info");
  const labels = build ? build[0].labels : {};
  const started = sum(samples, "process_start_time_seconds");
  element("service").textContent =
    [labels.service_namespace, labels.service_name].filter(Boolean).join("/");
  element("about").textContent = `version ${labels.version || "?"}, up ` +
    `${duration(Math.max(0, Date.now() / 1000 - started))}, memory ` +
    `${amount(sum(samples, "process_resident_memory_bytes"), "B")}`;
}

function showTiles(samples) {
  for (const direction of ["inbound", "outbound"]) {
    const matches = (l) => l.direction === direction;
    const open = sum(samples, "sluice_connections_active", matches);
    tile(`${direction} connections open`, open, amount(open));
    const opened = rate("sluice_connections_opened_total", matches);
    tile(`${direction} connections per second`, opened, amount(opened));
    const bytes = rate("sluice_bytes_total", matches);
    tile(`${direction} bytes per second`, bytes, amount(bytes, "B"));
  }
}

function showLatency(samples) {
  const rows = [];
  for (const [what, [name, other, direction]] of Object.entries(REQUESTS)) {
    const metric = !other || samples.has(name + "_count") ? name : other;
    const matches = (l) => !direction || l.direction === direction;
    const all = sum(samples, metric + "_count", matches);
    if (!all)
      continue;
    const count = recent(metric + "_count", matches);
    const bad = (l) => matches(l) && l.error_type;
    const errors = sum(samples, metric + "_count", bad) -
                   (count < all ? sum(before().samples, metric + "_count", bad) : 0);
    const share = `${(100 * errors / count).toFixed(1)} %`;
    rows.push([what, amount(rate(metric + "_count", matches)),
               ...[0.5, 0.9, 0.99].map((q) => duration(quantile(q, metric, matches))),
               direction ? "" : share]);
  }
  cells("latency", rows, "No request was seen yet.");
}

function showDestinations(samples) {
  const metrics = samples.has(OUTBOUND[1] + "_count") ? OUTBOUND : OUTBOUND_OLD;
  const servers = new Set();
  for (const name of [...metrics.map((m) => m + "_count"), "sluice_connections_closed_total"])
    for (const { labels } of samples.get(name) || [])
      if (name !== "sluice_connections_closed_total" || labels.direction === "outbound")
        servers.add(labels.server_address);
  const rows = [...servers].map((server) => {
    const here = (l) => l.server_address === server;
    const closed = (l) => here(l) && l.direction === "outbound";
    const total = (matches) => metrics.reduce((n, m) => n + sum(samples, m + "_count", matches), 0);
    const busiest = metrics.reduce((a, b) => sum(samples, b + "_count", here) >
                                             sum(samples, a + "_count", here) ? b : a);
    return [server, total(here), metrics.reduce((n, m) => n + rate(m + "_count", here), 0),
            total((l) => here(l) && l.error_type), quantile(0.5, busiest, here),
            quantile(0.99, busiest, here), sum(samples, "sluice_connections_closed_total", closed),
            sum(samples, "sluice_connections_closed_total",
                (l) => closed(l) && l.outcome !== "closed")];
  });
  rows.sort((a, b) => b[1] - a[1] || b[6] - a[6]);
  cells("destinations", rows.slice(0, ROWS_MAX).map(
    ([server, n, r, bad, p50, p99, ended, odd]) =>
      [server, amount(n), amount(r), amount(bad), duration(p50), duration(p99), amount(ended),
       amount(odd)]), "No connection left this pod yet.");
}

function showFlows(answer) {
  element("flowcount").textContent = answer.truncated ? `the first ${answer.listed}`
                                                      : `${answer.listed} now`;
  cells("flows", answer.flows.map((f) => [
    f.direction, f.protocol, f.state, f.client || "–", f.destination || "–",
    duration(f.age_seconds), amount(f.bytes.to_server, "B"), amount(f.bytes.to_client, "B"),
    f.requests]),
        "No connection is open.");
}

function show(samples) {
  history.push({ at: performance.now(), samples });
  while (history.length > 2 && now().at - before().at > WINDOW_MS)
    history.shift();
  showArmed(samples);
  showAbout(samples);
  showTiles(samples);
  showLatency(samples);
  showDestinations(samples);
}

async function get(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok)
    throw new Error(`${path}: ${(await answer.text()).trim()}`);
  return answer;
}

async function refresh() {
  const trouble = element("trouble");
  try {
    show(parse(await (await get("/metrics")).text()));
    showFlows(await (await get(`/flows?limit=${ROWS_MAX}`)).json());
    trouble.hidden = true;
    document.body.dataset.rounds = history.length;
  } catch (e) {
    trouble.textContent = `Not up to date: ${e.message}`;
    trouble.hidden = false;
  }
}

async function watch() {
  if (!document.hidden)
    await refresh();
  setTimeout(watch, PERIOD_MS);
}

watch();
