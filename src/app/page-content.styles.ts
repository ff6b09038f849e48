/** What the inside of every page but the chat shares: a ground that scrolls, and a column in its middle. */
import { css } from 'lit';

export const pageContentStyles = css`
  :host {
    display: block;
    overflow-y: auto;
    background: var(--_surface);
    color: var(--_text);
    font-family: var(--_font);
    font-size: var(--_text-large);
    line-height: 1.5;
    container-type: inline-size;
  }

  .page {
    display: grid;
    gap: var(--_space-5);
    margin: 0 auto;
    padding: var(--_space-5) var(--_space-5) var(--_space-6);
  }
`;
