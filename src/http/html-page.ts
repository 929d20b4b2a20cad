import { marked } from 'marked';

/** A page for a browser from a page of ours in Markdown. Links between pages lose their `.md`, as they are served. */
export function htmlPage(title: string, markdown: string): string {
  const content = marked
    .parse(markdown, { async: false })
    .replaceAll(/href="(?:\.\/)?([\w.]+)\.md"/g, 'href="/errors/$1"');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Latchkey</title>
<style>${STYLE}</style>
</head>
<body>
<nav><a href="/docs">API documentation</a> <a href="/errors">All errors</a></nav>
<main>
${content}</main>
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif; }
nav a { margin-right: 1rem; }
h1 { overflow-wrap: anywhere; font-size: 1.6rem; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
code { font-family: ui-monospace, monospace; font-size: 0.92em; }
pre { overflow-x: auto; padding: 0.8rem 1rem; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: 6px; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; padding: 0.35rem 0.8rem 0.35rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
`;
