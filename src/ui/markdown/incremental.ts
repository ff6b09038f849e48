/**
 * Markdown that grows at its end. Blocks that later text can no longer change are finished: they are lexed once and
 * handed out once. Pure: no DOM.
 */
import { type Block, type LinkDefinitions, lexBlocks } from './parse.ts';

export interface MarkdownUpdate {
  /** True when everything handed out before is void: the text changed otherwise than by growing. */
  reset: boolean;
  /** Newly finished blocks, in order, after those of the updates before. */
  finished: Block[];
  /** Blocks that may still change. */
  open: Block[];
}

export class IncrementalMarkdown {
  #finishedText = '';
  /** Definitions inside the finished text. */
  #finishedLinks: LinkDefinitions = {};
  /** All definitions that the finished blocks were lexed with, as one comparable text. */
  #linksKey = '';

  update(source: string): MarkdownUpdate {
    const text = source.replace(/\r\n?/g, '\n');
    if (!text.startsWith(this.#finishedText)) return this.#restart(text);
    const links = { ...this.#finishedLinks };
    const blocks = lexBlocks(text.slice(this.#finishedText.length), links);
    const linksKey = JSON.stringify(links);
    // A definition may come after the text that refers to it.
    if (linksKey !== this.#linksKey && this.#finishedText.includes('[')) return this.#restart(text);
    return { reset: false, ...this.#split(text, blocks, linksKey) };
  }

  #restart(text: string): MarkdownUpdate {
    this.#finishedText = '';
    this.#finishedLinks = {};
    const links: LinkDefinitions = {};
    const blocks = lexBlocks(text, links);
    return { reset: true, ...this.#split(text, blocks, JSON.stringify(links)) };
  }

  #split(text: string, blocks: Block[], linksKey: string): { finished: Block[]; open: Block[] } {
    this.#linksKey = linksKey;
    const start = this.#finishedText.length;
    const count = finishedCount(blocks, text.slice(start));
    const finished = blocks.slice(0, count);
    const length = finished.reduce((sum, block) => sum + block.raw.length, 0);
    const finishedText = text.slice(0, start + length);
    if (finishedText.slice(start) !== finished.map((block) => block.raw).join('')) {
      // The lexer changed the text while cutting it; then nothing is safe to keep.
      return { finished: [], open: blocks };
    }
    this.#finishedText = finishedText;
    for (const block of finished) {
      if (block.type === 'def') {
        this.#finishedLinks[block.tag] ??= { href: block.href, title: block.title };
      }
    }
    return { finished, open: blocks.slice(count) };
  }
}

/**
 * How many leading blocks are final. A block is, once it is certain that the next one begins where it seems to. That
 * takes a whole line: `2` may become the item `2. …` of the list above. Right below a paragraph it takes two, since a
 * line that a table's delimiter seems to follow ends the paragraph, and the delimiter may turn out to be none.
 */
function finishedCount(blocks: readonly Block[], text: string): number {
  let end = blocks.reduce((length, block) => length + block.raw.length, 0);
  for (let index = blocks.length - 1; index > 0; index -= 1) {
    const block = blocks[index]!;
    end -= block.raw.length;
    // Counted in the text: the lexer gives an item that has only begun a line end of its own.
    const linesBelow = text.slice(end).split('\n').length - 1;
    const needed = blocks[index - 1]!.type === 'paragraph' ? 2 : 1;
    if (block.type !== 'space' && linesBelow >= needed) return index;
  }
  return 0;
}
