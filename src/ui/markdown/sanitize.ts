/**
 * HTML to DOM nodes that can do no harm: an allow-list of elements and attributes, links that open elsewhere without
 * a handle on this page, and then, on clean nodes only, our own additions (copy buttons, scrolling frames).
 */
import createPurifier, { type Config, type DOMPurify } from 'dompurify';

const configuration: Config & { RETURN_DOM_FRAGMENT: true } = {
  ALLOWED_TAGS: [
    ...['p', 'br', 'hr', 'strong', 'em', 'del', 'code', 'pre', 'a', 'ul', 'ol', 'li', 'blockquote'],
    ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td', '#text'],
  ],
  ALLOWED_ATTR: ['href', 'title', 'start', 'align', 'class'],
  // Every other attribute's value would have to look like an address.
  ADD_URI_SAFE_ATTR: ['align', 'start'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

let purifier: DOMPurify | null = null;

/** Made at first use: the module can be imported where there is no window. */
function getPurifier(): DOMPurify {
  if (purifier) return purifier;
  purifier = createPurifier(window);
  purifier.addHook('afterSanitizeAttributes', (node) => {
    if (node.hasAttribute('class') && !/^language-[\w+#.-]{1,40}$/.test(node.className)) {
      node.removeAttribute('class');
    }
    if (node.localName === 'a' && node.hasAttribute('href')) {
      node.setAttribute('target', '_blank');
      node.setAttribute('rel', 'noopener noreferrer nofollow');
    }
  });
  return purifier;
}

export function sanitizeHtml(html: string): DocumentFragment {
  const fragment = getPurifier().sanitize(html, configuration);
  for (const pre of fragment.querySelectorAll('pre')) frameCode(pre);
  for (const table of fragment.querySelectorAll('table')) frameTable(table);
  return fragment;
}

function element(name: string, className: string): HTMLElement {
  const node = document.createElement(name);
  node.className = className;
  return node;
}

function frameCode(pre: HTMLPreElement): void {
  const language = pre.querySelector('code')?.className.replace(/^language-/, '') ?? '';
  const frame = element('div', 'code-frame');
  const head = element('div', 'code-head');
  const label = element('span', 'code-language');
  label.textContent = language || 'text';
  const copy = element('button', 'code-copy') as HTMLButtonElement;
  copy.type = 'button';
  copy.textContent = 'Copy';
  copy.setAttribute('aria-label', 'Copy code');
  head.append(label, copy);
  pre.replaceWith(frame);
  frame.append(head, pre);
}

function frameTable(table: HTMLTableElement): void {
  const frame = element('div', 'table-frame');
  table.replaceWith(frame);
  frame.append(table);
}
