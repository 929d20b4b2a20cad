// @ts-check
/**
 * The docs site, which the service serves at /guide. `scripts/guide.mjs` copies the Markdown of the project and this folder into
 * one place and builds it there. Nothing is loaded from elsewhere, and no script or style stands in a page but those whose
 * digests that script notes, so that the Content-Security-Policy needs no unsafe-inline.
 */

/** @param {string} text @returns {string} */
const escapeHtml = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param {string} title @param {readonly [string, string][]} pages */
const section = (title, pages) => ({
  text: title,
  items: pages.map(([text, link]) => ({ text, link })),
});

/**
 * Aligned columns of tables, by class instead of style.
 * @param {import('vitepress').MarkdownRenderer} markdown
 */
function alignByClass(markdown) {
  markdown.core.ruler.push('align-by-class', ({ tokens }) => {
    for (const token of tokens) {
      const align = /^text-align:(\w+)$/.exec(token.attrGet('style') ?? '')?.[1];
      if (align === undefined) continue;
      token.attrs = (token.attrs ?? []).filter(([name]) => name !== 'style');
      token.attrJoin('class', `align-${align}`);
    }
  });
}

// oxlint-disable-next-line import/no-default-export -- VitePress asks for it
export default {
  title: 'Latchkey',
  description: 'The API-key service of an AI platform.',
  lang: 'en',
  base: '/guide/',
  cleanUrls: true,
  metaChunk: true,
  // Without transitions, which a style that is added while the page runs would stop.
  appearance: { disableTransition: false },
  // Dead links end the build.
  ignoreDeadLinks: false,
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  markdown: {
    html: false,
    // Highlighting would put a style into each word.
    highlight: (/** @type {string} */ code) =>
      `<pre v-pre tabindex="0"><code>${escapeHtml(code.replace(/\n$/, ''))}</code></pre>`,
    config: alignByClass,
  },
  // What the theme sets by style in the page stands in theme/style.css instead.
  transformHtml: (/** @type {string} */ html) => html.replaceAll(/ style="[^"]*"/g, ''),
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Tutorial', link: '/tutorial' },
      { text: 'API reference', link: 'pathname:///docs', target: '_self' },
      { text: 'Errors', link: '/errors/' },
    ],
    sidebar: [
      section('Begin', [
        ['Overview', '/'],
        ['README', '/project/readme'],
        ['Tutorial', '/tutorial'],
      ]),
      section('Use it', [
        ['Verification', '/verification'],
        ['Rate limits', '/rate-limits'],
        ['Budgets and usage', '/budgets'],
        ['API conventions', '/api-conventions'],
        ['Organizations', '/organizations'],
        ['Permissions', '/permissions'],
        ['Errors', '/errors/'],
        ['Gateways', '/gateways/'],
        ['A leaked key', '/leaked-key'],
        ['Differences', '/differences'],
        ['Glossary', '/glossary'],
      ]),
      section('Run it', [
        ['Deployment', '/deployment'],
        ['Configuration', '/configuration'],
        ['Operations', '/operations'],
        ['Upgrading', '/upgrading'],
        ['Performance', '/performance'],
      ]),
      section('Change it', [
        ['Architecture', '/project/architecture'],
        ['Contributing', '/project/contributing'],
        ['Decisions', '/decisions/'],
        ['Security', '/project/security'],
        ['Changelog', '/project/changelog'],
      ]),
    ],
  },
};
