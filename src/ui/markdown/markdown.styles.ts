import { css } from 'lit';

export const markdownStyles = css`
  :host {
    display: block;
    min-width: 0;
    line-height: 1.65;
    overflow-wrap: anywhere;
  }

  .content > :first-child {
    margin-top: 0;
  }

  .content > :last-child {
    margin-bottom: 0;
  }

  p,
  ul,
  ol,
  blockquote,
  .code-frame,
  .table-frame {
    margin: 0 0 0.85em;
  }

  h3,
  h4,
  h5,
  h6 {
    margin: 1.5em 0 0.5em;
    font-weight: 620;
    line-height: 1.3;
    letter-spacing: -0.005em;
  }

  h3 {
    font-size: 1.3em;
  }

  h4 {
    font-size: 1.14em;
  }

  h5,
  h6 {
    font-size: 1em;
  }

  ul,
  ol {
    padding-inline-start: 1.5em;
  }

  li {
    margin: 0.25em 0;
  }

  li::marker {
    color: var(--_text-quiet);
  }

  li > p {
    margin-bottom: 0.4em;
  }

  li > ul,
  li > ol {
    margin-bottom: 0;
  }

  a {
    color: var(--_link);
    text-decoration-thickness: 1px;
    text-underline-offset: 0.18em;
  }

  a:hover {
    text-decoration-thickness: 2px;
  }

  strong {
    font-weight: 640;
  }

  blockquote {
    padding: 0.1em 0 0.1em 1em;
    border-inline-start: 3px solid var(--_border);
    color: var(--_text-quiet);
  }

  blockquote > :last-child {
    margin-bottom: 0;
  }

  hr {
    margin: 1.5em 0;
    border: 0;
    border-top: 1px solid var(--_border);
  }

  code,
  pre {
    font-family: var(--_font-code);
    font-size: 0.875em;
  }

  :not(pre) > code {
    padding: 0.12em 0.35em;
    border-radius: 5px;
    background: var(--_surface-sunken);
  }

  .code-frame {
    overflow: hidden;
    border: 1px solid var(--_border);
    border-radius: var(--_radius-medium);
    background: var(--_surface-raised);
  }

  .code-head {
    display: flex;
    align-items: center;
    justify-content: space-between;
    padding: 0.25rem 0.375rem 0.25rem 0.875rem;
    border-bottom: 1px solid var(--_border);
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .code-copy {
    min-height: 1.75rem;
    padding: 0 0.5rem;
    border: 0;
    border-radius: var(--_radius-small);
    background: transparent;
    color: var(--_text-quiet);
    font: inherit;
    font-weight: 550;
    cursor: pointer;
  }

  .code-copy:hover {
    background: var(--_surface-sunken);
    color: var(--_text);
  }

  pre {
    margin: 0;
    padding: 0.75rem 0.875rem;
    overflow-x: auto;
    line-height: 1.55;
    tab-size: 2;
    overflow-wrap: normal;
  }

  .table-frame {
    overflow-x: auto;
    border: 1px solid var(--_border);
    border-radius: var(--_radius-medium);
    background: var(--_surface-raised);
  }

  table {
    width: 100%;
    border-collapse: collapse;
    font-size: 0.9375em;
  }

  th,
  td {
    padding: 0.5rem 0.875rem;
    text-align: start;
    overflow-wrap: normal;
  }

  th[align='center'],
  td[align='center'] {
    text-align: center;
  }

  th[align='right'],
  td[align='right'] {
    text-align: end;
  }

  th {
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-weight: 600;
  }

  tbody > tr > td {
    border-top: 1px solid var(--_border);
  }
`;
