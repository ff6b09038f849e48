/**
 * Keeps a growing conversation at its end, and lets go as soon as the person scrolls up. Growth is noticed by a
 * ResizeObserver, after layout, so that following it forces no layout of its own.
 */
import type { ReactiveController, ReactiveControllerHost } from 'lit';

/** Fractions of pixels are lost. */
const AT_END_PX = 2;
/** Who scrolls down to within this distance of the end wants the end. */
const NEAR_END_PX = 40;

export class StickyScroll implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #observer: ResizeObserver;
  #scroller: HTMLElement | null = null;
  #content: HTMLElement | null = null;
  #lastTop = 0;

  isPinned = true;

  constructor(host: ReactiveControllerHost) {
    this.#host = host;
    this.#observer = new ResizeObserver(() => {
      // Where there is no conversation yet, what stands in its place is read from its beginning.
      if (this.isPinned && this.#content!.clientHeight > 0) this.#toEnd();
    });
    host.addController(this);
  }

  observe(scroller: HTMLElement, content: HTMLElement): void {
    this.#scroller = scroller;
    this.#content = content;
    this.hostConnected();
  }

  hostConnected(): void {
    if (!this.#scroller || !this.#content) return;
    this.#scroller.addEventListener('scroll', this.#onScroll, { passive: true });
    this.#observer.observe(this.#content);
    this.#observer.observe(this.#scroller);
  }

  hostDisconnected(): void {
    this.#scroller?.removeEventListener('scroll', this.#onScroll);
    this.#observer.disconnect();
  }

  /** Goes to the end and stays there. */
  pin(): void {
    this.#set(true);
    this.#toEnd();
  }

  #toEnd(): void {
    const scroller = this.#scroller;
    if (!scroller) return;
    scroller.scrollTop = scroller.scrollHeight;
    this.#lastTop = scroller.scrollTop;
  }

  readonly #onScroll = (): void => {
    const scroller = this.#scroller;
    if (!scroller) return;
    const { scrollTop, scrollHeight, clientHeight } = scroller;
    const distance = scrollHeight - scrollTop - clientHeight;
    // Content that shrank for a moment moves the view up too, but leaves it at the very end: that is not the person.
    if (distance <= AT_END_PX) this.#set(true);
    else if (scrollTop < this.#lastTop) this.#set(false);
    else if (scrollTop > this.#lastTop && distance <= NEAR_END_PX) this.#set(true);
    this.#lastTop = scrollTop;
  };

  #set(isPinned: boolean): void {
    if (this.isPinned === isPinned) return;
    this.isPinned = isPinned;
    this.#host.requestUpdate();
  }
}
