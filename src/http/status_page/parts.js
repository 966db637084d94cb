// The parts of the page that are no charts.
const STATIONS = {
  receive: "Receive", journal: "Journal", roll: "Open roll", lake: "To the lake", table: "In tables",
};
const STAGES = { start: "Starting: takes no sessions yet", stop: "Stopping: takes no sessions any more" };
const ENGINES = { duckdb: "DuckDB", spark: "Spark", trino: "Trino" };
// Bytes come last.
const members = (of) => Object.entries(of).filter(([, v]) => v != null).sort(([a], [b]) => (a === "bytes") - (b === "bytes"));
const singular = (name) => name === "bodies" ? "body" : name.replace(/s$/, "");

// Replaces a list, unless it shows the same already.
const listed = {};
function list(id, heads, rows, numbers, wide) {
  const text = JSON.stringify(rows);
  if (listed[id] === text) return;
  listed[id] = text;
  by(id).replaceChildren(rows.length ? table(heads, rows, numbers, wide) : make("p", "None.", "none"));
}

function showState(status) {
  const { program, state, trouble, stations, limits } = status;
  const good = state.ready && !trouble.length;
  document.title = (good ? "" : "! ") + "sessionlake " + (program.node || "");
  by("about").textContent = `${program.version}, node ${program.node || "not known yet"}, lake ${program.lake}, since ${date(program.started)}. All times are UTC.`;
  by("sentence").textContent = state.sentence;
  by("sentence").className = "sentence" + (good ? "" : " bad");
  // A server that starts or stops says so; what follows from it needs no word.
  const stage = state.reasons.find((r) => STAGES[r.part]);
  const reasons = stage ? [[STAGES[stage.part], "", stage.reason.split("; ")[0]]] : state.reasons.map((r) => ["Takes no sessions: " + r.part, "", r.reason]);
  const wrong = [...reasons, ...trouble.map((t) => ["Trouble: " + t.part, t.since, t.reason])];
  by("trouble").hidden = !wrong.length;
  const age = (since) => since ? `, since ${date(since)} (${long((new Date(status.now) - new Date(since)) / 1000)})` : "";
  by("trouble").replaceChildren(...wrong.flatMap(([title, since, why]) => [make("h2", title + age(since)), make("p", why)]));
  // Told by a screen reader when it changes, and not every second.
  const told = wrong.map(([title]) => title).join(". ") || (good ? "All is well" : "");
  if (by("told").textContent !== told) by("told").textContent = told;
  by("way").replaceChildren(...stations.map((station) => {
    const item = make("li");
    item.append(make("b", STATIONS[station.name] || station.name));
    const rate = members(station.per_second).map(([name, v]) => (name === "bytes" ? bytes(v) : count(v) + " " + name) + "/s");
    item.append(make("span", rate.join(", ") || "\u00a0"));
    const waits = members(station.waiting).map(([name, v]) => name === "bytes" ? bytes(v) : count(v) + " " + (v === 1 ? singular(name) : name));
    item.append(make("span", "waiting: " + waits.join(", "), "waits"));
    item.append(make("span", station.oldest ? "oldest: " + clock(station.oldest) : "oldest: none"));
    if (station.name === "journal" && limits.journal_quota_bytes > 0) {
      const full = limits.journal_full_in_seconds;
      item.append(make("span", `${percent(limits.journal_size_bytes, limits.journal_quota_bytes)} of ${bytes(limits.journal_quota_bytes)} used` + (full == null ? "" : ", full in " + long(full))));
    }
    return item;
  }));
}

function showLists(status) {
  list("rolls", ["roll", "state", "ended by", "begun", "changed", "lines", "rows", "rejects", "files", "bytes", "retries", "error"],
    status.rolls.map((r) => [r.roll, r.state, r.cause || "–", clock(r.opened), clock(r.changed), count(r.lines), count(r.rows), count(r.rejects), r.files, bytes(r.bytes), r.retries, r.error || ""].map(String)),
    [0, 5, 6, 7, 8, 9, 10], [11]);
  const since = status.tables.length ? status.tables[0].total.since : null;
  by("tables-since").textContent = since ? `Landed by this node since ${date(since)}; rejects and doubled rows since the start.` : "";
  list("tables", ["table", "rows", "files", "size", "a file", "small files", "rejects", "doubled"],
    status.tables.map((t) => [t.table, count(t.total.rows), count(t.total.files), bytes(t.total.bytes), t.total.files ? bytes(t.total.bytes / t.total.files) : "–", t.total.files ? `${count(t.total.small_files)} (${percent(t.total.small_files, t.total.files)})` : "–", count(t.rejects), count(t.doubled)]), [1, 2, 3, 4, 5, 6, 7]);
  const small = status.tables.filter((t) => t.total.small_files > 1000 && t.total.small_files > t.total.files / 2);
  by("small").textContent = small.length ? `Most files of ${small.map((t) => t.table).join(", ")} have less than 16 MB: a longer roll_age makes fewer, and “sessionlake table compact” makes large ones of those that are there.` : "";
  list("rejects", ["table", "reason", "lines", "last", "for instance"],
    status.rejects.map((r) => [r.table, r.reason, count(Math.max(r.lines, r.decoded || 0)), r.last ? clock(r.last.at) : "–", r.last ? r.last.text : ""].map(String)), [2], [4]);
  list("unknown", ["table", "field", "rows"], status.unknown_fields.map((f) => [f.table, f.field, count(f.rows)]), [2], [1]);
  list("refused", ["endpoint", "reason", "requests"], status.refused.map((r) => [r.endpoint, r.reason, count(r.requests)]), [2]);
  list("settings", ["setting", "value", "from"], status.settings.map((s) => [s.key, s.value, s.origin]), [], [1, 2]);
}

// Rejects, the newest first: of the report, then of events.
let samples = [];
function showSamples(newer) {
  const known = samples.length ? samples[0].id : 0;
  samples = [...newer.filter((sample) => sample.id > known), ...samples].slice(0, 20);
  const text = samples.map((sample) => sample.id).join();
  if (listed.samples === text) return;
  listed.samples = text;
  by("samples").replaceChildren(...samples.map((sample) => {
    const item = make("li");
    const lines = sample.lines === 1 ? `line ${sample.line}` : `${sample.lines} lines from ${sample.line} on`;
    item.append(make("span", `${clock(sample.at)}  ${sample.table}: ${sample.text} (${sample.reason}; body ${sample.body}, ${lines}, ${bytes(sample.bytes)})`));
    item.append(make("code", sample.masked == null ? "sealed by the privacy rules, or too long to show" : sample.masked || "(empty)"));
    return item;
  }));
  by("no-samples").hidden = samples.length > 0;
}

// Lines by hour: a row a day, a column an hour.
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
let hours = [];
const heatTable = unfolding("As a table", "Lines received by hour, as a table", (box) => {
  const rows = hours.filter(([, lines]) => lines > 0).slice(-48).map(([at, lines]) => [iso(at).slice(0, 10), iso(at).slice(11, 16), count(lines)]);
  box.replaceChildren(rows.length ? table(["day", "hour (UTC)", "lines"], rows.reverse(), [2]) : make("p", "None.", "none"));
});
function showHours(status) {
  const text = JSON.stringify(status.hours) + status.now.slice(0, 13) + by("heat").clientWidth;
  if (listed.hours === text) return;
  listed.hours = text;
  hours = status.hours;
  const lines = new Map(hours), most = Math.max(1, ...hours.map(([, n]) => n));
  const today = Math.floor(new Date(status.now) / 86400000) * 86400;
  const width = Math.max(300, by("heat").clientWidth), left = 62, cell = (width - left) / 24, height = 22;
  const svg = draw("svg", { role: "img", class: "heat", viewBox: `0 0 ${width} ${7 * height + 18}`, height: 7 * height + 18 });
  for (let back = 6; back >= 0; back -= 1) {
    const start = today - back * 86400, y = (6 - back) * height;
    svg.append(draw("text", { x: 0, y: y + 15 }, DAYS[new Date(start * 1000).getUTCDay()] + " " + iso(start).slice(5, 10)));
    for (let hour = 0; hour < 24; hour += 1) {
      const n = lines.get(start + hour * 3600);
      const box = draw("rect", { x: left + hour * cell + 1, y: y + 1, width: cell - 2, height: height - 2, rx: 2, class: n ? "hot" : "cold" });
      // The root: a quiet night is told from none at all.
      if (n) box.setAttribute("fill-opacity", (0.15 + 0.85 * Math.sqrt(n / most)).toFixed(2));
      box.append(draw("title", {}, `${iso(start + hour * 3600).slice(0, 16).replace("T", " ")}: ${n == null ? "not counted" : count(n) + " lines"}`));
      svg.append(box);
    }
  }
  for (let hour = 0; hour < 24; hour += 3) svg.append(draw("text", { x: left + (hour + 0.5) * cell, y: 7 * height + 13, "text-anchor": "middle" }, String(hour).padStart(2, "0")));
  const total = hours.reduce((sum, [, n]) => sum + n, 0);
  svg.setAttribute("aria-label", `Lines received by hour of the last seven days: ${count(total)} in all, ${count(most)} in the fullest hour`);
  by("heat-key").textContent = `${count(total)} in all; the darkest hour has ${count(most)}. Counted while the status page is on.`;
  by("heat").replaceChildren(svg);
  heatTable.refresh();
}

// Queries: made once, since someone may be copying one.
function showQueries(status) {
  const text = JSON.stringify(status.queries);
  if (listed.queries === text) return;
  listed.queries = text;
  const tables = [...new Set(status.queries.map((query) => query.table))];
  by("queries").replaceChildren(...tables.map((name, n) => {
    const details = make("details");
    details.open = n === 0;
    details.append(make("summary", name));
    for (const query of status.queries.filter((query) => query.table === name)) {
      const box = make("div", undefined, "query"), title = ENGINES[query.engine] || query.engine;
      const code = make("pre", query.text), button = make("button", "Copy");
      code.tabIndex = 0;
      code.setAttribute("role", "group");
      code.setAttribute("aria-label", `${title}: query of ${name}`);
      button.setAttribute("aria-label", `Copy the query of ${name} for ${title}`);
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(query.text);
          button.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(code);
          button.textContent = "Selected: press Ctrl-C";
        }
        setTimeout(() => { button.textContent = "Copy"; }, 3000);
      });
      const head = make("div", undefined, "query-head");
      head.append(make("h3", title), button);
      box.append(head, code);
      details.append(box);
    }
    return details;
  }));
}
