/**
 * Markdown to blocks and blocks to HTML, with GitHub's flavour. HTML in the source is text, not markup: an answer
 * that speaks of `<b>` shows it. Images become links, so that an answer cannot make the page fetch anything. The
 * HTML made here is still not trusted; `sanitize.ts` comes after it.
 */
import { Lexer, Marked, type MarkedToken, type Token, type Tokens } from 'marked';

export type Block = MarkedToken;

/** Link definitions (`[name]: url`) by name; they apply to the whole text, wherever they stand. */
export type LinkDefinitions = Record<string, Pick<Tokens.Link, 'href'> & { title?: string }>;

const escapes: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);
}

/** The address in normal form if a person may follow it: absolute, http(s) or mailto. */
export function safeHref(href: string): string | null {
  try {
    const url = new URL(href);
    return ['https:', 'http:', 'mailto:'].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function linkHtml(href: string, title: string | null | undefined, innerHtml: string): string {
  const safe = safeHref(href);
  if (safe === null) return innerHtml;
  const titleAttribute = title ? ` title="${escapeHtml(title)}"` : '';
  return `<a href="${escapeHtml(safe)}"${titleAttribute}>${innerHtml}</a>`;
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  tokenizer: {
    html: () => undefined,
    tag: (source) => {
      // The one tag that Markdown has no sign for, and that models use in tables.
      const lineBreak = /^<br\s*\/?>/i.exec(source);
      return lineBreak ? ({ type: 'br', raw: lineBreak[0] } as unknown as Tokens.Tag) : undefined;
    },
  },
  renderer: {
    html: ({ text }) => escapeHtml(text),
    // Below the headings of the page around the answer.
    heading({ depth, tokens }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>\n`;
    },
    link({ href, title, tokens }) {
      return linkHtml(href, title, this.parser.parseInline(tokens));
    },
    image: ({ href, title, text }) => linkHtml(href, title, escapeHtml(text || 'Image')),
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
});

/** Cuts text (line ends: `\n`) into blocks that, joined by their `raw`, are the text. `links` is added to. */
export function lexBlocks(text: string, links: LinkDefinitions): Block[] {
  const lexer = new Lexer(marked.defaults);
  lexer.tokens.links = links;
  return [...(lexer.lex(text) as Token[])] as Block[];
}

export function blockToHtml(block: Block): string {
  return marked.parser([block]);
}

/** The whole text at once: what incremental rendering must equal. */
export function markdownToHtml(text: string): string {
  return marked.parse(text, { async: false });
}
