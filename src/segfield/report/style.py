"""The page's looks: one style sheet for light and dark, for a screen and for paper."""

CSS = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2330;--soft:#5b6676;--line:#dfe3e9;--accent:#2563eb;
--bad:#b91c1c;--badbg:#fdecec;--warn:#92560a;--warnbg:#fdf3e1;--good:#166534;--goodbg:#e8f6ec;--r:#d9534f;--g:#3a9d5d;
--b:#3b7dd8;--n:#64748b}
@media (prefers-color-scheme:dark){:root{--bg:#11151b;--card:#1a2028;--ink:#e4e8ee;--soft:#9aa5b4;--line:#2c3541;
--accent:#7aa7ff;--bad:#ff9b94;--badbg:#3a1d1f;--warn:#f2bf6b;--warnbg:#352813;--good:#86d9a0;--goodbg:#15301f;
--r:#e5736f;--g:#5fc284;--b:#6ea4f0;--n:#94a3b8}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px}
h2{font-size:18px;margin:34px 0 12px}
h3{font-size:15px;margin:0 0 8px}
p{margin:0 0 8px}
.soft,figcaption,.unit{color:var(--soft)}
.small{font-size:13px}
code,.path{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:13px;overflow-wrap:anywhere}
.banner{border-radius:10px;padding:14px 18px;margin:18px 0;font-weight:600}
.bad{background:var(--badbg);color:var(--bad)}.warn{background:var(--warnbg);color:var(--warn)}
.good{background:var(--goodbg);color:var(--good)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px}
.card,.box{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.card b{display:block;font-size:22px;line-height:1.3;font-variant-numeric:tabular-nums}
.box{margin-bottom:12px;overflow-x:auto}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:12px}
.columns .box{margin:0}
table{border-collapse:collapse;min-width:55%;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:var(--soft);font-size:13px}
th,td{padding:5px 26px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
td.num,th.num{text-align:right;white-space:nowrap}
.box p{margin:10px 0 0}
.finding{border-left:4px solid;padding:10px 16px;margin-bottom:10px;border-radius:0 10px 10px 0}
.finding p{color:var(--ink);font-weight:400}
.finding h3{margin:0 0 2px}
details{margin-top:4px;color:var(--ink)}
summary{cursor:pointer;font-size:13px}
ul.names{margin:6px 0 0;padding-left:18px;max-height:320px;overflow:auto}
.chart{width:100%;height:auto;display:block}
.chart text{font-size:11px;fill:var(--soft)}
.axis{stroke:var(--line)}.mark{stroke:var(--ink);stroke-dasharray:3 3}
.red{fill:var(--r)}.green{fill:var(--g)}.blue{fill:var(--b)}.grey{fill:var(--n)}
.bar{display:inline-block;width:120px;height:10px;background:var(--line);border-radius:5px;overflow:hidden;
vertical-align:middle;margin-left:8px}
.bar span{display:block;height:100%}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(360px,1fr));gap:12px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px}
.strip{display:grid;grid-template-columns:repeat(auto-fit,minmax(0,1fr));grid-auto-flow:column;gap:6px}
.strip img,.wide{width:100%;height:auto;display:block;border-radius:4px;background:#000}
figcaption{font-size:12.5px;margin-top:8px;line-height:1.4}
.tag{display:inline-block;border:1px solid var(--line);border-radius:99px;padding:0 8px;font-size:12px;margin-right:6px}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:7px;border:1px solid var(--line)}
footer{margin-top:36px;font-size:13px;color:var(--soft)}
@media print{body{background:#fff}.box,.card,figure{break-inside:avoid}}
""".strip()
