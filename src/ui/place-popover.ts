/** Puts a popover below the control it belongs to, their left or right edges aligned, inside the window. */
const GAP_PX = 6;
const MARGIN_PX = 8;

export function placePopover(popover: HTMLElement, control: Element, edge: 'left' | 'right' = 'right'): void {
  const box = control.getBoundingClientRect();
  const { bottom } = box;
  const fromEdge = edge === 'left' ? box.left : document.documentElement.clientWidth - box.right;
  popover.style.top = `${Math.max(MARGIN_PX, bottom + GAP_PX)}px`;
  popover.style[edge] = `${Math.max(MARGIN_PX, fromEdge)}px`;
  popover.style.maxHeight = `calc(100dvh - ${bottom + GAP_PX + MARGIN_PX}px)`;
}
