/** Our own icons: 20 × 20, drawn with the text's colour. Decoration: the control next to an icon carries the name. */
import { svg } from 'lit';

function icon(paths: ReturnType<typeof svg>, size = 18) {
  return svg`<svg width=${size} height=${size} viewBox="0 0 20 20" fill="none" stroke="currentColor"
    stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">${paths}</svg>`;
}

export const icons = {
  send: icon(svg`<path d="M10 16V4.500M5 9l5-5 5 5"/>`),
  stop: icon(svg`<rect x="5.5" y="5.5" width="9" height="9" rx="1.8" fill="currentColor" stroke="none"/>`),
  plus: icon(svg`<path d="M10 4.500v11M4.5 10h11"/>`),
  settings: icon(
    svg`<path d="M3.5 6h6M13.5 6h3M3.5 14h3M10.5 14h6"/><circle cx="11.5" cy="6" r="2"/><circle cx="8.5" cy="14" r="2"/>`,
  ),
  copy: icon(
    svg`<rect x="7" y="7" width="9" height="9" rx="2"/><path d="M13 7V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v5a2 2 0 0 0 2 2h1"/>`,
    16,
  ),
  check: icon(svg`<path d="m4.5 10.5 3.5 3.5 7.5-8"/>`, 16),
  retry: icon(svg`<path d="M15.5 8.500A6 6 0 1 0 16 11M16 4.500v4h-4"/>`, 16),
  chevron: icon(svg`<path d="m5 8 5 5 5-5"/>`),
  down: icon(svg`<path d="M10 4v11.500M5 11l5 5 5-5"/>`),
  lock: icon(
    svg`<rect x="4.5" y="9" width="11" height="7.5" rx="2"/><path d="M7 9V6.800a3 3 0 0 1 6 0V9"/>`,
    16,
  ),
  sun: icon(
    svg`<circle cx="10" cy="10" r="3.2"/><path d="M10 2.800v1.400M10 15.800v1.400M2.8 10h1.400M15.8 10h1.400M4.9 4.900l1 1M14.1 14.100l1 1M4.9 15.100l1-1M14.1 5.900l1-1"/>`,
  ),
  moon: icon(svg`<path d="M16.5 11.800A6.8 6.8 0 0 1 8.2 3.500a6.8 6.8 0 1 0 8.3 8.300Z"/>`),
  auto: icon(
    svg`<circle cx="10" cy="10" r="6.5"/><path d="M10 3.500a6.5 6.5 0 0 1 0 13Z" fill="currentColor"/>`,
  ),
  close: icon(svg`<path d="m5.5 5.5 9 9M14.5 5.500l-9 9"/>`),
  warning: icon(svg`<path d="M10 3.5 17 16H3Z"/><path d="M10 8.200v3.600M10 13.800v.2"/>`),
  question: icon(
    svg`<circle cx="10" cy="10" r="6.5"/><path d="M8.2 8.200a1.9 1.9 0 1 1 2.6 1.8c-.5.3-.8.6-.8 1.200M10 13.300v.1"/>`,
    16,
  ),
  file: icon(
    svg`<path d="M11.5 3.500H7A1.500 1.500 0 0 0 5.500 5v10A1.500 1.500 0 0 0 7 16.500h6a1.500 1.500 0 0 0 1.500-1.500V6.500ZM11.500 3.500v3h3"/>`,
  ),
  folder: icon(
    svg`<path d="M3.500 14.500v-9A1.500 1.500 0 0 1 5 4h2.800l1.700 2H15a1.500 1.500 0 0 1 1.500 1.500v7A1.500 1.500 0 0 1 15 16H5a1.500 1.500 0 0 1-1.500-1.500Z"/>`,
  ),
  link: icon(
    svg`<path d="M8.500 11.500a3 3 0 0 0 4.300 0l2.400-2.400a3 3 0 0 0-4.300-4.300l-.9.9M11.500 8.500a3 3 0 0 0-4.300 0l-2.400 2.400a3 3 0 0 0 4.300 4.300l.9-.9"/>`,
  ),
  globe: icon(
    svg`<circle cx="10" cy="10" r="6.5"/><path d="M3.500 10h13M10 3.500c2 2 2.800 4.200 2.800 6.500S12 14.500 10 16.500C8 14.500 7.200 12.300 7.200 10S8 5.500 10 3.500Z"/>`,
    16,
  ),
  arrow: icon(svg`<path d="M4.500 10h11M11 5.500l4.500 4.500-4.500 4.500"/>`, 16),
  back: icon(svg`<path d="M15.500 10h-11M9 5.500 4.500 10 9 14.500"/>`, 16),
  save: icon(svg`<path d="M10 4v8M6.500 8.500 10 12l3.500-3.500M4.500 16h11"/>`, 16),
  trash: icon(
    svg`<path d="M4.500 6h11M8 6V4.500h4V6M6 6l.7 9.500h6.600L14 6M8.600 8.800l.2 4M11.400 8.800l-.2 4"/>`,
    16,
  ),
  disk: icon(
    svg`<ellipse cx="10" cy="6" rx="6" ry="2.300"/><path d="M4 6v8c0 1.300 2.700 2.300 6 2.300s6-1 6-2.300V6M4 10c0 1.300 2.700 2.300 6 2.300s6-1 6-2.300"/>`,
  ),
  chip: icon(
    svg`<rect x="5.5" y="5.5" width="9" height="9" rx="2"/><path d="M8 3v2.500M12 3v2.500M8 14.500V17M12 14.500V17M3 8h2.500M3 12h2.500M14.5 8H17M14.5 12H17"/>`,
    16,
  ),
  play: icon(svg`<path d="M7 4.800v10.400l8-5.200Z" fill="currentColor"/>`, 16),
};

/** The mark: three gusts. */
export const mark = svg`<svg width="28" height="28" viewBox="0 0 64 64" fill="none" stroke="currentColor" stroke-width="5"
  stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false"><path d="M10 23h28a7 7 0 1 0-6.8-8.8"/><path
  d="M16 33.500h30a6.5 6.5 0 1 1-6.3 8.2" opacity=".8"/><path d="M10 44h17a6 6 0 1 1-5.8 7.6" opacity=".6"/></svg>`;
