import { css } from 'lit';

export const pageStyles = css`
  :host {
    display: grid;
    grid-template: auto auto minmax(0, 1fr) auto / minmax(0, 1fr);
    height: 100%;
    background: var(--_surface);
    color: var(--_text);
    font-family: var(--_font);
    font-size: var(--_text-medium);
  }

  header {
    grid-row: 1;
    display: flex;
    align-items: center;
    gap: var(--_space-4);
    height: 3.5rem;
    padding: 0 var(--_space-3) 0 var(--_space-4);
    border-bottom: 1px solid var(--_border);
    background: var(--_surface-raised);
  }

  .brand {
    display: flex;
    flex: none;
    align-items: center;
    gap: var(--_space-2);
    color: var(--_text);
    font-size: 1.0625rem;
    font-weight: 650;
    letter-spacing: -0.015em;
    text-decoration: none;
  }

  .brand svg {
    color: var(--_fill-loud);
  }

  nav {
    display: flex;
    gap: var(--_space-1);
    min-width: 0;
    margin-inline-start: var(--_space-2);
    /* On the narrowest windows it scrolls; room for focus rings. */
    padding: 4px;
    overflow-x: auto;
    scrollbar-width: none;
  }

  nav a {
    padding: 0.375rem 0.625rem;
    border-radius: var(--_radius-small);
    color: var(--_text-quiet);
    font-weight: 550;
    text-decoration: none;
  }

  nav a:hover {
    color: var(--_text);
    background: var(--_surface-sunken);
  }

  nav a[aria-current] {
    color: var(--_on-quiet);
    background: var(--_fill-quiet);
  }

  .privacy {
    display: inline-flex;
    align-items: center;
    gap: 0.375rem;
    margin-inline-start: auto;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    white-space: nowrap;
  }

  .update {
    grid-row: 2;
    display: flex;
    align-items: center;
    justify-content: center;
    gap: var(--_space-3);
    padding: var(--_space-2) var(--_space-4);
    background: var(--_fill-quiet);
    color: var(--_on-quiet);
    font-size: var(--_text-small);
  }

  main {
    grid-row: 3;
    min-height: 0;
    outline: none;
  }

  footer {
    grid-row: 4;
    display: flex;
    justify-content: space-between;
    gap: var(--_space-4);
    padding: var(--_space-2) var(--_space-4);
    border-top: 1px solid var(--_border);
    color: var(--_text-quiet);
    font-size: 0.75rem;
    line-height: 1.4;
  }

  .skip {
    position: absolute;
    z-index: 1;
    inset: var(--_space-2) auto auto var(--_space-2);
    padding: var(--_space-2) var(--_space-3);
    border-radius: var(--_radius-small);
    background: var(--_fill-loud);
    color: var(--_on-loud);
    font-weight: 550;
  }

  .skip:not(:focus) {
    width: 1px;
    height: 1px;
    padding: 0;
    overflow: hidden;
    clip-path: inset(50%);
  }

  @media (max-width: 34rem) {
    header {
      gap: var(--_space-1);
      padding-inline: var(--_space-3) var(--_space-1);
    }

    nav {
      margin-inline-start: 0;
      padding-inline: 12px;
      gap: 0;
      mask-image: linear-gradient(to right, transparent, black 12px calc(100% - 12px), transparent);
    }

    nav a {
      padding-inline: 0.5rem;
    }

    .brand span,
    .privacy,
    footer span:first-child {
      position: absolute;
      width: 1px;
      height: 1px;
      overflow: hidden;
      clip-path: inset(50%);
      white-space: nowrap;
    }

    footer {
      justify-content: center;
      padding-block: 0.25rem;
      border-top: 0;
    }
  }

  @media (max-height: 34rem) {
    footer {
      display: none;
    }
  }
`;
