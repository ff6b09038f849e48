/** Shows Markdown that may still be growing: finished blocks stay as they are, only open ones are rendered again. */
import { html, LitElement } from 'lit';
import { property } from 'lit/decorators.js';
import { base } from '../tokens.css.ts';
import { IncrementalMarkdown } from './incremental.ts';
import { markdownStyles } from './markdown.styles.ts';
import { type Block, blockToHtml } from './parse.ts';
import { sanitizeHtml } from './sanitize.ts';

interface OpenBlock {
  block: Block;
  nodes: ChildNode[];
}

function render(block: Block): ChildNode[] {
  return [...sanitizeHtml(blockToHtml(block)).childNodes];
}

function isSameCode(before: Block, after: Block): boolean {
  return before.type === 'code' && after.type === 'code' && before.lang === after.lang;
}

/**
 * @csspart content - The rendered text.
 */
export class TramontaneMarkdown extends LitElement {
  static override styles = [base, markdownStyles];

  /** Markdown. Rendering costs least when it only ever grows. */
  @property({ attribute: false }) text = '';

  #markdown = new IncrementalMarkdown();
  #content = Object.assign(document.createElement('div'), { className: 'content', part: 'content' });
  #open: OpenBlock[] = [];

  protected override render() {
    return html`${this.#content}`;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#content.addEventListener('click', this.#onClick);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#content.removeEventListener('click', this.#onClick);
  }

  protected override willUpdate(): void {
    const { reset, finished, open } = this.#markdown.update(this.text);
    if (reset) {
      this.#content.replaceChildren();
      this.#open = [];
    }
    const rendered = this.#renderBlocks([...finished, ...open]);
    this.#open = rendered.slice(finished.length);
  }

  /** Renders blocks in place of the open ones, keeping the nodes of those that have not changed. */
  #renderBlocks(blocks: readonly Block[]): OpenBlock[] {
    const before = this.#open;
    let kept = 0;
    const rendered: OpenBlock[] = [];
    while (kept < before.length && kept < blocks.length) {
      const was = before[kept]!;
      const block = blocks[kept]!;
      if (was.block.raw !== block.raw || was.block.type !== block.type) {
        const code = isSameCode(was.block, block) ? codeOf(was.nodes) : null;
        if (code === null) break;
        setGrownText(code, codeText(block));
      } else if (block.type !== 'code' && block.raw.includes('[')) {
        break; // What it refers to may have come since.
      }
      rendered.push({ block, nodes: was.nodes });
      kept += 1;
    }
    for (const { nodes } of before.slice(kept)) for (const node of nodes) node.remove();
    for (const block of blocks.slice(kept)) {
      const nodes = render(block);
      this.#content.append(...nodes);
      rendered.push({ block, nodes });
    }
    return rendered;
  }

  readonly #onClick = async (event: Event): Promise<void> => {
    const button = (event.target as Element | null)?.closest<HTMLButtonElement>('.code-copy');
    const code = button?.closest('.code-frame')?.querySelector('code');
    if (!button || !code) return;
    try {
      await navigator.clipboard.writeText((code.textContent ?? '').replace(/\n$/, ''));
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Not allowed';
    }
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 1500);
  };
}

function codeOf(nodes: readonly ChildNode[]): HTMLElement | null {
  for (const node of nodes) {
    const code =
      node instanceof HTMLElement
        ? node.querySelector<HTMLElement>('.code-frame pre > code, pre > code')
        : null;
    if (code) return code;
  }
  return null;
}

/** As the renderer writes code: with one line end at its end, unless it is empty. */
function codeText(block: Block): string {
  return block.type === 'code' && block.text !== '' ? `${block.text.replace(/\n$/, '')}\n` : '';
}

/** Appends where it can: a selection in the text survives, and long code is not laid out anew. */
function setGrownText(target: HTMLElement, text: string): void {
  const node = target.firstChild;
  const before = target.textContent ?? '';
  const stem = before.replace(/\n$/, '');
  if (node instanceof Text && target.childNodes.length === 1 && text.startsWith(stem)) {
    node.replaceData(stem.length, before.length - stem.length, text.slice(stem.length));
  } else {
    target.textContent = text;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-markdown': TramontaneMarkdown;
  }
}
