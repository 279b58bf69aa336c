"""The style of the HTML report: light or dark on screens as the reader prefers, light on paper.

Colours are Okabe and Ito's ("Color Universal Design", 2008); on a dark background light grey and sky blue
replace black and blue. No line is identified only by its colour.
"""

from __future__ import annotations

LIGHT = """
--ground:#fff;--ink:#1b1e23;--soft:#5a6069;--rule:#d5d8dd;--faint:#f4f5f7;--link:#00558a;--alarm:#9c3a00;
--alarm-ground:#fff1e6;--s0:#000;--s1:#0072b2;--s2:#009e73;--s3:#cc79a7;--s4:#e69f00;--s5:#d55e00;
--s6:#56b4e9;--s7:#8a6d00;--h1:#fff3e3;--h2:#ffe4c2;--h3:#ffd09a;--h4:#fdb871;--id:#c9ccd1
"""
DARK = """
--ground:#14171b;--ink:#e8eaed;--soft:#a6adb7;--rule:#3a4048;--faint:#1e2227;--link:#7cc4f2;--alarm:#ffb27a;
--alarm-ground:#3a2413;--s0:#e8eaed;--s1:#56b4e9;--s2:#1fc795;--s3:#e39cc3;--s4:#f0b429;--s5:#ff7a2e;
--s6:#3d8fd1;--s7:#f0e442;--h1:#2c2418;--h2:#412f17;--h3:#5a3c14;--h4:#774a0e;--id:#4b525b
"""
DASHES = ("none", "9 3", "5 2.5", "1.5 2.5", "8 2 1.5 2", "none", "3 4", "12 2 3 2")

_LINES = "".join(
    f".s{place}{{stroke:var(--s{place});stroke-dasharray:{dashes}}}.b{place}{{fill:var(--s{place})}}"
    for place, dashes in enumerate(DASHES)
)
STYLE = f"""
:root{{color-scheme:light dark;{LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{DARK}}}}}
*{{box-sizing:border-box}}
html{{-webkit-text-size-adjust:100%}}
body{{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:70rem;background:var(--ground);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}}
h1{{font-size:1.9rem;line-height:1.2;margin:0 0 .6rem;overflow-wrap:anywhere}}
h2{{font-size:1.3rem;line-height:1.3;margin:3rem 0 .6rem;padding-top:.7rem;border-top:1px solid var(--rule)}}
p,li{{max-width:48rem;overflow-wrap:anywhere}}
ul{{padding-left:1.2rem}}
li{{margin:.3rem 0}}
a{{color:var(--link)}}
.lead p{{margin:.25rem 0}}
.lead .first{{font-weight:600}}
nav{{margin:1.5rem 0 0;padding:.8rem 1rem;background:var(--faint);border-radius:6px}}
nav ul{{list-style:none;margin:0;padding:0;columns:18rem 3;column-gap:1.5rem}}
nav li{{margin:.1rem 0;font-size:.92rem}}
.urgent{{margin:1rem 0 1.5rem;padding:.6rem 1rem;border:2px solid var(--alarm);border-radius:6px;
background:var(--alarm-ground)}}
.urgent h2{{margin:0 0 .4rem;padding:0;border:0;color:var(--alarm)}}
.scroll{{overflow-x:auto;margin:1rem 0 1.6rem}}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{{outline:2px solid var(--link);
outline-offset:2px}}
table{{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums;min-width:min(100%,24rem)}}
caption{{caption-side:top;text-align:left;font-weight:600;padding:0 0 .35rem;font-size:.92rem}}
th,td{{padding:.22rem .7rem;text-align:right;white-space:nowrap}}
td.w,th.w{{text-align:left}}
td.w{{white-space:normal;overflow-wrap:anywhere}}
thead th{{border-bottom:2px solid var(--ink);vertical-align:bottom;font-weight:600}}
tbody th{{font-weight:400;text-align:left}}
tbody th,thead th:first-child{{position:sticky;left:0;background:var(--ground)}}
tbody{{border-bottom:1px solid var(--rule)}}
tbody tr:hover{{background:var(--faint)}}
.h1{{background:var(--h1)}}.h2{{background:var(--h2)}}.h3{{background:var(--h3)}}.h4{{background:var(--h4)}}
details{{margin:.5rem 0;border:1px solid var(--rule);border-radius:6px;padding:0 .9rem}}
summary{{cursor:pointer;padding:.45rem 0;font-weight:600;font-size:.92rem}}
figure{{margin:1.4rem 0 2rem}}
figcaption{{font-size:.92rem;margin:0 0 .5rem;max-width:48rem;overflow-wrap:anywhere}}
.panels{{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:.6rem}}
.panels.wide{{display:block;max-width:48rem}}
.panels.wide svg{{min-width:34rem}}
svg{{display:block;width:100%;height:auto;font-size:11px;fill:var(--ink)}}
.panels.wide{{overflow-x:auto}}
.strong{{font-weight:600}}.tick{{fill:var(--soft);font-size:10px}}
.line,.whisker,.grid,.zero,.frame,.id-sample{{fill:none}}
.line{{stroke-width:1.5;stroke-linejoin:round}}
.s5{{stroke-width:2.2}}
.grid{{stroke:var(--rule);stroke-width:.7}}.zero{{stroke:var(--ink);stroke-width:1}}
.frame{{stroke:var(--soft);stroke-width:.8}}
.whisker{{stroke:var(--ink);stroke-width:1.3}}.bar{{fill-opacity:.62}}
.id{{fill:var(--id);stroke:var(--soft);stroke-width:.7;fill-opacity:.75}}
.id-sample{{stroke:var(--id);stroke-width:9}}
{_LINES}
footer{{margin-top:3rem;font-size:.85rem;color:var(--soft)}}
@page{{size:A4;margin:14mm 12mm}}
@media (max-width:40rem){{
body{{padding:1.2rem .9rem 3rem}}
th,td{{padding:.2rem .45rem}}table{{min-width:0}}
tbody th{{min-width:8.4rem;white-space:normal;overflow-wrap:anywhere}}
}}
@media print{{
:root{{color-scheme:light;{LIGHT}}}
html{{font-size:9pt}}
body{{max-width:none;padding:0;line-height:1.4}}
p,li,figcaption{{max-width:none}}
figure{{margin:.8rem 0}}
.panels.wide{{max-width:14cm}}
nav{{display:none}}
h1{{font-size:18pt}}h2{{font-size:13pt;margin-top:1.4rem}}
h2,caption,figcaption,summary{{break-after:avoid}}
.new-page{{break-before:page}}
tr,.panels svg,li{{break-inside:avoid}}
thead{{display:table-header-group}}
table{{font-size:7pt}}th,td{{padding:.1rem .35rem}}
.dense table{{font-size:5.6pt}}.dense th,.dense td{{padding:.08rem .18rem}}
.scroll,.panels.wide{{overflow:visible}}
.panels{{grid-template-columns:repeat(4,1fr)}}
details:not([open]){{display:none}}
*{{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
}}
"""
