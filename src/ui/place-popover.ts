/** Puts a popover below the control it belongs to, their far edges aligned, inside the window. */
const GAP_PX = 6;
const MARGIN_PX = 8;

export function placePopover(popover: HTMLElement, control: Element): void {
  const { bottom, right } = control.getBoundingClientRect();
  popover.style.top = `${Math.max(MARGIN_PX, bottom + GAP_PX)}px`;
  popover.style.right = `${Math.max(MARGIN_PX, document.documentElement.clientWidth - right)}px`;
  popover.style.maxHeight = `calc(100dvh - ${bottom + GAP_PX + MARGIN_PX}px)`;
}
