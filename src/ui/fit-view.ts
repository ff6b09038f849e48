/** How a verdict on a model looks: one line a reason. */
import { css, html, type TemplateResult } from 'lit';
import { formatMemory } from '../base/number-text.ts';
import type { Fit, FitFinding } from '../models/fit.ts';
import { icons } from './icons.ts';

const verdictIcons: Record<FitFinding['verdict'], (typeof icons)['check']> = {
  slow: icons.warning,
  untested: icons.question,
  'too-slow': icons.warning,
  impossible: icons.warning,
};

/** @param fit Null while the device is being looked at. */
export function renderFit(
  fit: Fit | null,
  good = 'Fits this device.',
): TemplateResult | readonly TemplateResult[] {
  if (fit === null) return html`<p class="fit">Looking at this device…</p>`;
  if (fit.verdict === 'good') return renderCheck(good);
  return fit.findings.map(
    ({ verdict, text }) => html`<p class="fit ${verdict}">${verdictIcons[verdict]}<span>${text}</span></p>`,
  );
}

/** The same in a few words, for lists. */
export function renderFitBriefly(fit: Fit | null): ReturnType<typeof renderFit> {
  const finding = fit?.findings[0];
  if (!fit || !finding) return renderFit(fit);
  const { verdict, text } = finding;
  return html`<p class="fit ${verdict}">
    ${verdictIcons[verdict]}<span>${briefly[verdict]?.(formatMemory(fit.need.totalBytes)) ?? text}</span>
  </p>`;
}

const briefly: Partial<Record<FitFinding['verdict'], (memory: string) => string>> = {
  slow: () => 'Slow on this device.',
  untested: (memory) => `Needs about ${memory} of memory.`,
  'too-slow': () => 'Far too slow on this device.',
};

/** Another thing that was looked at and is well. */
export function renderCheck(text: string): TemplateResult {
  return html`<p class="fit good">${icons.check}<span>${text}</span></p>`;
}

export const fitStyles = css`
  .fit {
    display: flex;
    gap: var(--_space-2);
    margin: 0;
    padding: 0;
    font-size: var(--_text-small);
    line-height: 1.5;
  }

  .fit svg {
    flex: none;
    width: 16px;
    height: 16px;
    margin-top: 0.125rem;
  }

  .fit.good {
    color: var(--_good);
  }

  .fit.untested {
    color: var(--_text-quiet);
  }

  .fit.slow,
  .fit.too-slow {
    color: var(--_warning);
  }

  .fit.impossible {
    color: var(--_danger);
  }
`;
