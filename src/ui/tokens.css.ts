/**
 * Design tokens, named by meaning. A component reads the short private names (`--_text`); the public names
 * (`--tramontane-text`) are never set by us, so that a page may set any of them, anywhere above the element.
 *
 * Both themes stand in each line through light-dark(): `color-scheme` decides, which follows the system unless the
 * `theme` attribute (or the embedding page's CSS) says otherwise.
 */
import { css } from 'lit';

export const tokens = css`
  :host {
    color-scheme: light dark;

    /* Surfaces, from the page's ground up. */
    --_surface: var(--tramontane-surface, light-dark(#f7f9fb, #0e141a));
    --_surface-raised: var(--tramontane-surface-raised, light-dark(#ffffff, #161e26));
    --_surface-sunken: var(--tramontane-surface-sunken, light-dark(#edf1f5, #0a0f14));
    --_border: var(--tramontane-border, light-dark(#d9e0e7, #27323d));
    --_border-strong: var(--tramontane-border-strong, light-dark(#7d8b99, #6d7c8b));

    /* Text. */
    --_text: var(--tramontane-text, light-dark(#16212c, #e4eaf0));
    --_text-quiet: var(--tramontane-text-quiet, light-dark(#52616f, #98a6b4));
    --_link: var(--tramontane-link, light-dark(#0b6286, #74c7e4));

    /* The accent: loud for the one thing to do, quiet for what belongs to the person. */
    --_fill-loud: var(--tramontane-fill-loud, light-dark(#0d6a8f, #5dbfe0));
    --_fill-loud-hover: var(--tramontane-fill-loud-hover, light-dark(#0a5675, #82cfea));
    --_on-loud: var(--tramontane-on-loud, light-dark(#ffffff, #04202c));
    --_fill-quiet: var(--tramontane-fill-quiet, light-dark(#e2eef4, #17303c));
    --_on-quiet: var(--tramontane-on-quiet, light-dark(#0b3f55, #cfeaf5));

    --_good: var(--tramontane-good, light-dark(#1c6b43, #7bd0a1));
    --_good-fill: var(--tramontane-good-fill, light-dark(#e3f3ea, #12291e));
    --_warning: var(--tramontane-warning, light-dark(#7d5200, #e9bd6b));
    --_warning-fill: var(--tramontane-warning-fill, light-dark(#fbf1dc, #2b2212));
    --_danger: var(--tramontane-danger, light-dark(#a4262c, #f39a9a));
    --_danger-fill: var(--tramontane-danger-fill, light-dark(#fbeaea, #311a1c));

    --_focus: var(--tramontane-focus, light-dark(#0d6a8f, #7fd0ec));
    --_shadow: var(
      --tramontane-shadow,
      0 1px 2px light-dark(rgb(22 33 44 / 6%), rgb(0 0 0 / 40%)),
      0 6px 20px light-dark(rgb(22 33 44 / 7%), rgb(0 0 0 / 35%))
    );

    /* Type. System fonts only: nothing is fetched. */
    --_font: var(--tramontane-font, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif);
    --_font-code: var(
      --tramontane-font-code,
      ui-monospace,
      'SF Mono',
      'Cascadia Mono',
      'Segoe UI Mono',
      'Roboto Mono',
      Menlo,
      Consolas,
      monospace
    );
    --_text-small: 0.8125rem;
    --_text-medium: 0.9375rem;
    --_text-large: 1rem;

    /* Rhythm: steps of 4 px. */
    --_space-1: 0.25rem;
    --_space-2: 0.5rem;
    --_space-3: 0.75rem;
    --_space-4: 1rem;
    --_space-5: 1.5rem;
    --_space-6: 2.5rem;
    --_radius-small: 6px;
    --_radius-medium: 10px;
    --_radius-large: var(--tramontane-radius, 16px);
    /* A comfortable line of about 75 characters. */
    --_measure: var(--tramontane-measure, 46rem);
  }

  :host([theme='light']) {
    color-scheme: light;
  }

  :host([theme='dark']) {
    color-scheme: dark;
  }
`;

/** What every shadow root starts from. */
export const base = css`
  :host {
    box-sizing: border-box;
  }

  *,
  *::before,
  *::after {
    box-sizing: inherit;
  }

  [hidden] {
    display: none !important;
  }

  :focus-visible {
    outline: 2px solid var(--_focus);
    outline-offset: 2px;
  }

  .visually-hidden {
    position: absolute;
    width: 1px;
    height: 1px;
    margin: -1px;
    padding: 0;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
    border: 0;
  }

  @media (prefers-reduced-motion: reduce) {
    *,
    *::before,
    *::after {
      animation-duration: 1ms !important;
      animation-iteration-count: 1 !important;
      transition-duration: 1ms !important;
      scroll-behavior: auto !important;
    }
  }
`;
