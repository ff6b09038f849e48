import { expect, test } from 'vitest';
import '../define.ts';
import type { TramontaneMarkdown } from './markdown.ts';
import { markdownToHtml } from './parse.ts';
import { sanitizeHtml } from './sanitize.ts';

/** The text rendered at once, by the parser's own whole-document path. */
function wholeHtml(text: string): string {
  const container = document.createElement('div');
  container.append(sanitizeHtml(markdownToHtml(text)));
  return normalize(container);
}

/** Blocks are apart by line ends in one and not in the other; nothing is seen of it. */
function normalize(container: Element): string {
  const copy = container.cloneNode(true) as Element;
  for (const node of [...copy.childNodes]) if (node instanceof Text && !node.data.trim()) node.remove();
  return copy.innerHTML.replace(/\n+$/gm, '\n');
}

async function mount(): Promise<{ element: TramontaneMarkdown; content: () => Element }> {
  const element = document.createElement('tramontane-markdown');
  document.body.append(element);
  await element.updateComplete;
  return { element, content: () => element.shadowRoot!.querySelector('.content')! };
}

/** A small seeded generator, so that a failure can be repeated. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const documents: [string, string][] = [
  ['paragraphs', 'One.\nStill one.\n\nTwo *em* **strong** `code` ~~del~~.\n\n\n\nThree.\n'],
  ['headings', '# A\n\nText\n\n## B\n### C\n\nUnder\n=====\n\nmore\n---\n\n***\n\nend'],
  ['tight list', '- a\n- b\n  - c\n  - d\n- e\n\nafter'],
  ['loose list', '1. a\n\n2. b\n\n   more b\n\n3. c\n\n4\n\nnot a list'],
  ['list after list', '- a\n\n* b\n\n1. c\n\n1) d\n'],
  ['tasks', '- [ ] open\n- [x] done\n'],
  ['code', 'See:\n\n```ts\nconst a = "<b>";\n\n\n// more\n```\n\n    indented\n\n    more\n\nend'],
  ['unfinished code', 'x\n\n~~~\nnever\nends\n\n# not a heading\n'],
  ['table', 'T:\n\n| a | b |\n| :- | -: |\n| 1 | `x\\|y` |\n| 2<br>3 | 4 |\n\nafter\n| no | table |'],
  ['table right after text', 'text\n| a | b |\n| --- | --- |\n| 1 | 2 |\nlast'],
  ['quotes', '> a\nb\n>\n> - c\n> - d\n\n> e\n\nf'],
  [
    'links',
    '[a](https://example.org "t") <https://example.org/x> www.example.org a@b.co [b](javascript:alert(1))',
  ],
  [
    'definitions after use',
    'See [one][1] and [two].\n\nMore [one][1].\n\n[1]: https://example.org/1\n\n[two]: https://example.org/2 "T"\n\nend [two]',
  ],
  ['html is text', 'a <b>bold</b> <script>alert(1)</script>\n\n<div>\n*x*\n</div>\n\n<!-- c -->\n\nend'],
  ['line ends', 'a\r\nb\r\n\r\n- c\r\n- d\r\n\r\nend\r'],
  ['entities and escapes', '&amp; &lt; \\* \\_ 1 < 2 > 0 "q"'],
  ['images', '![alt](https://example.org/x.png) ![](data:image/png;base64,AA)'],
  ['nested', '1. a\n   ```js\n   x\n   ```\n   > q\n2. b\n   | x | y |\n   | - | - |\n   | 1 | 2 |\n'],
  ['dashes', 'a\n\n-\n\n- b\n\n--\n\n---\n\n- - -\n\n-x'],
];

test.each(documents)('%s: growing by any steps ends where rendering at once does', async (_name, text) => {
  const expected = wholeHtml(text);
  for (const seed of [0, 1, 2, 3, 4]) {
    const random = createRandom(seed);
    const { element, content } = await mount();
    for (let length = 0; length < text.length; ) {
      length = Math.min(text.length, length + (seed === 0 ? 1 : 1 + Math.floor(random() * 9)));
      element.text = text.slice(0, length);
      await element.updateComplete;
    }
    expect(normalize(content())).toBe(expected);
    element.remove();
  }
});

test('random documents, too', async () => {
  const random = createRandom(9);
  const pieces = documents.flatMap(([, text]) => text.split(/(?<=\n)/));
  for (let round = 0; round < 80; round += 1) {
    let text = '';
    while (text.length < 300) {
      text += pieces[Math.floor(random() * pieces.length)]!;
      if (random() < 0.3) text += '\n';
    }
    const { element, content } = await mount();
    for (let length = 0; length < text.length; ) {
      length = Math.min(text.length, length + 1 + Math.floor(random() * 6));
      element.text = text.slice(0, length);
      await element.updateComplete;
    }
    expect(normalize(content()), JSON.stringify(text)).toBe(wholeHtml(text));
    element.remove();
  }
});

test('finished blocks are rendered once: their nodes stay', async () => {
  const { element, content } = await mount();
  element.text = 'First.\n\nSecond.\n\nThird';
  await element.updateComplete;
  const first = content().firstElementChild!;
  element.text += ' grows.\n\n```js\nlet a';
  await element.updateComplete;
  expect(content().firstElementChild).toBe(first);
  const code = content().querySelector('code')!;
  element.text += ' = 1;\nlet b';
  await element.updateComplete;
  expect(content().querySelector('code')).toBe(code);
  expect(code.textContent).toBe('let a = 1;\nlet b\n');
  element.remove();
});

test('a text that changes otherwise than by growing is rendered anew', async () => {
  const { element, content } = await mount();
  element.text = 'One.\n\nTwo.\n\nThree.\n';
  await element.updateComplete;
  element.text = 'Other.';
  await element.updateComplete;
  expect(normalize(content())).toBe('<p>Other.</p>');
  element.remove();
});

const attacks = [
  '<script>globalThis.pwned = 1</script>',
  '<img src=x onerror="globalThis.pwned = 1">',
  '<svg onload="globalThis.pwned = 1"></svg>',
  '<iframe srcdoc="<script>parent.pwned = 1</script>"></iframe>',
  '[a](javascript:globalThis.pwned=1)',
  '[a](JaVaScRiPt:globalThis.pwned=1)',
  '[a](java\nscript:globalThis.pwned=1)',
  '[a](&#106;avascript:globalThis.pwned=1)',
  '[a](data:text/html,<script>1</script>)',
  '[a](vbscript:x)',
  '[a](blob:https://example.org/x)',
  '[a](https://example.org/"onmouseover="globalThis.pwned=1)',
  '[a](https://example.org "x\\" onmouseover=\\"globalThis.pwned=1")',
  '<javascript:globalThis.pwned=1>',
  '![x](https://example.org/pixel.png)',
  '![x" onerror="globalThis.pwned=1](https://example.org/pixel.png)',
  '![x](javascript:globalThis.pwned=1)',
  '```"><img/src=x/onerror=globalThis.pwned=1>\nx\n```',
  '```js" class="x" onclick="globalThis.pwned=1\nx\n```',
  '| <img src=x onerror=globalThis.pwned=1> |\n| - |\n| <a href="javascript:x">y</a> |',
  '<style>*{background:url(https://example.org/x)}</style>',
  '<form action="https://example.org"><button>x</button></form>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=globalThis.pwned=1&gt;">',
  '<a href="https://example.org" style="position:fixed;inset:0">x</a>',
  '<input autofocus onfocus=globalThis.pwned=1>',
  '<base href="https://example.org/">',
  '<link rel=stylesheet href=https://example.org/x.css>',
  '<br onclick=globalThis.pwned=1>',
  '[x]: javascript:globalThis.pwned=1\n\n[x]',
  '<https://example.org/?a=<script>globalThis.pwned=1</script>>',
];
const allowedElements = new Set(
  'p br hr strong em del code pre a ul ol li blockquote h3 h4 h5 h6 table thead tbody tr th td div span button'.split(
    ' ',
  ),
);
const allowedAttributes = new Set([
  'href',
  'title',
  'start',
  'align',
  'class',
  'target',
  'rel',
  'type',
  'aria-label',
]);

test.each(attacks)('%s does no harm, whole or in pieces', async (attack) => {
  const { element, content } = await mount();
  for (const text of [attack, `Text.\n\n${attack}\n\nMore.`, `- ${attack.replaceAll('\n', '\n  ')}`]) {
    for (let length = 1; length <= text.length; length += 3) {
      element.text = text.slice(0, length);
      await element.updateComplete;
    }
    element.text = text;
    await element.updateComplete;
    for (const node of content().querySelectorAll('*')) {
      expect(allowedElements).toContain(node.localName);
      for (const { name } of node.attributes) expect(allowedAttributes).toContain(name);
      if (node.localName === 'button') expect(node.className).toBe('code-copy');
      if (node instanceof HTMLAnchorElement && node.hasAttribute('href')) {
        expect(['https:', 'http:', 'mailto:']).toContain(node.protocol);
        expect(node.rel).toContain('noopener');
        expect(node.target).toBe('_blank');
      }
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect((globalThis as { pwned?: unknown }).pwned).toBeUndefined();
  element.remove();
});

test('a code block is copied as it was written', async () => {
  const { element, content } = await mount();
  element.text = '```js\nconst a = 1;\n\nconst b = 2;\n```';
  await element.updateComplete;
  const written: string[] = [];
  const original = navigator.clipboard.writeText;
  navigator.clipboard.writeText = async (text) => {
    written.push(text);
  };
  try {
    const button = content().querySelector('button')!;
    expect(button.getAttribute('aria-label')).toBe('Copy code');
    button.click();
    await expect.poll(() => button.textContent).toBe('Copied');
  } finally {
    navigator.clipboard.writeText = original;
  }
  expect(written).toEqual(['const a = 1;\n\nconst b = 2;']);
  element.remove();
});
