// Where the figures come from: a state every second by /events, the rest by /status.json; that alone, every
// two seconds, while there are no events.
const drawCharts = CHARTS.map(chart);
by("heat-card").append(heatTable);
let last = null, source = null, lastEvent = 0, lastReport = 0, tried = 0, asking = false;

function show() {
  showState(last);
  drawCharts.forEach((redraw) => redraw(last.limits));
}
function takeHistory(history) {
  rings.columns = history.columns;
  const known = rings.seconds.length ? rings.seconds[rings.seconds.length - 1][0] : 0;
  const newest = rings.minutes.length ? rings.minutes[rings.minutes.length - 1][0] : 0;
  // The server's clock was set back, or another server answers.
  if (history.seconds.length && history.seconds[history.seconds.length - 1][0] < known - 5) { rings.seconds = []; rings.minutes = []; }
  rings.seconds = [...rings.seconds, ...history.seconds.filter((s) => !rings.seconds.length || s[0] > known)].slice(-600);
  // A minute is dated by its beginning, so it is older than seconds that are known.
  rings.minutes = [...rings.minutes, ...history.minutes.filter((m) => !rings.minutes.length || m[0] > newest)].slice(-1440);
}
async function ask() {
  if (asking) return;
  asking = true;
  try {
    const known = rings.seconds.length ? rings.seconds[rings.seconds.length - 1][0] : 0;
    const reply = await fetch("status.json?after=" + known, { cache: "no-store" });
    if (!reply.ok) throw new Error("it answers " + reply.status);
    const status = await reply.json();
    if (last && last.program.started !== status.program.started) samples = [];
    takeHistory(status.history);
    last = status;
    lastReport = Date.now();
    show();
    showLists(status);
    showSamples(status.reject_samples);
    showHours(status);
    showQueries(status);
  } catch (error) {
    by("sentence").textContent = "No answer from this receiver: " + error.message + (last ? `; what is below is of ${clock(last.now)}` : "");
    by("sentence").className = "sentence bad";
  } finally {
    asking = false;
  }
}
function listen() {
  tried = Date.now();
  source = new EventSource("events");
  source.addEventListener("state", (event) => {
    if (!last) return;
    const status = JSON.parse(event.data);
    lastEvent = Date.now();
    takeHistory(status.history);
    last = { ...last, ...status };
    show();
  });
  source.addEventListener("rejects", (event) => showSamples(JSON.parse(event.data).rejects.reverse()));
}
function silence() {
  if (source) source.close();
  source = null;
}
function tick() {
  if (document.hidden) return;
  const now = Date.now(), live = now - lastEvent < 3500;
  // One that was refused is closed for good; the browser itself tries the others again.
  if ((!source || source.readyState === EventSource.CLOSED) && now - tried > 30000) { silence(); listen(); }
  if (!live || now - lastReport > 10000) ask();
}
function choose(wanted) {
  day = wanted;
  by("minutes10").setAttribute("aria-pressed", String(!day));
  by("hours24").setAttribute("aria-pressed", String(day));
  if (last) show();
}
by("minutes10").addEventListener("click", () => choose(false));
by("hours24").addEventListener("click", () => choose(true));
addEventListener("resize", () => { if (last) { show(); showHours(last); } });
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return silence();
  tried = 0;
  tick();
});
setInterval(tick, 2000);
ask().then(listen);
