/**
 * Looks of native controls: buttons and fields stay `<button>`, `<input>`, `<textarea>`, so that keyboard, forms and
 * assistive technology work as everywhere.
 */
import { css } from 'lit';

export const controls = css`
  .button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: var(--_space-2);
    min-height: 2.25rem;
    padding: 0 var(--_space-4);
    border: 1px solid var(--_border);
    border-radius: var(--_radius-medium);
    background: var(--_surface-raised);
    color: var(--_text);
    font: inherit;
    font-size: var(--_text-medium);
    font-weight: 550;
    line-height: 1.2;
    cursor: pointer;
    transition:
      background-color 120ms,
      border-color 120ms,
      color 120ms;
  }

  .button:hover:not(:disabled) {
    border-color: var(--_border-strong);
  }

  .button:disabled {
    cursor: not-allowed;
    color: var(--_text-quiet);
    background: var(--_surface-sunken);
    border-color: transparent;
  }

  .button.loud:not(:disabled) {
    background: var(--_fill-loud);
    border-color: transparent;
    color: var(--_on-loud);
  }

  .button.loud:hover:not(:disabled) {
    background: var(--_fill-loud-hover);
  }

  .button.plain {
    border-color: transparent;
    background: transparent;
    color: var(--_text-quiet);
  }

  .button.plain:disabled {
    background: transparent;
    opacity: 0.55;
  }

  .button.plain:hover:not(:disabled) {
    border-color: transparent;
    background: var(--_surface-sunken);
    color: var(--_text);
  }

  .button.small {
    min-height: 1.875rem;
    padding: 0 var(--_space-2);
    gap: var(--_space-1);
    border-radius: var(--_radius-small);
    font-size: var(--_text-small);
  }

  .button.icon {
    padding: 0;
    width: 2.25rem;
  }

  .button.icon.small {
    width: 1.875rem;
  }

  .button svg {
    flex: none;
  }

  .field {
    display: grid;
    gap: var(--_space-1);
    align-content: start;
    min-width: 0;
  }

  .field > span,
  .field-label {
    font-size: var(--_text-small);
    font-weight: 550;
    color: var(--_text-quiet);
  }

  .input {
    width: 100%;
    min-height: 2.25rem;
    padding: 0.375rem var(--_space-3);
    border: 1px solid var(--_border-strong);
    border-radius: var(--_radius-medium);
    background: var(--_surface-raised);
    color: var(--_text);
    font: inherit;
    font-size: var(--_text-medium);
  }

  .input::placeholder {
    color: var(--_text-quiet);
    opacity: 1;
  }

  .input:focus-visible {
    outline-offset: -1px;
    border-color: var(--_focus);
  }

  .input[aria-invalid='true'] {
    border-color: var(--_danger);
  }

  .field-error {
    margin: 0;
    font-size: var(--_text-small);
    color: var(--_danger);
  }

  .notice {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--_space-2) var(--_space-3);
    padding: var(--_space-3) var(--_space-4);
    border: 1px solid color-mix(in srgb, currentColor 25%, transparent);
    border-radius: var(--_radius-medium);
    font-size: var(--_text-medium);
    line-height: 1.5;
  }

  .notice > .notice-text {
    flex: 1 1 16rem;
    min-width: 0;
    overflow-wrap: anywhere;
  }

  .notice strong {
    display: block;
    font-weight: 600;
  }

  .notice.danger {
    background: var(--_danger-fill);
    color: var(--_danger);
  }

  .notice.warning {
    background: var(--_warning-fill);
    color: var(--_warning);
  }

  .notice.good {
    background: var(--_good-fill);
    color: var(--_good);
  }

  .notice .next-step {
    color: var(--_text);
  }
`;
