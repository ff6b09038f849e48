/** The GGUFs of a repository: how large each is, whether it suits the device, and the button that looks at it. */
import { html, nothing, type TemplateResult } from 'lit';
import { formatBytes } from '../../base/number-text.ts';
import type { BuildList, SourceBuild } from '../../engine/api.ts';
import { parseAddress } from '../../engine/import/address.ts';
import { isDoubtful } from '../../models/fit.ts';
import { renderFitBriefly } from '../../ui/fit-view.ts';
import type { ImportController } from './import-controller.ts';

/** What most people take, the first of them that there is and that suits the device. */
const USUAL = ['Q4_K_M', 'Q4_K_S', 'IQ4_XS', 'Q4_0', 'Q4_1', 'IQ4_NL', 'Q5_K_M', 'Q8_0'];

export function renderBuilds(
  model: ImportController,
  { repository, missing, builds }: BuildList,
  choose: (build: SourceBuild) => void,
): TemplateResult {
  const bySize = [...builds].sort((a, b) => a.byteLength - b.byteLength);
  const able = bySize.filter(({ runs }) => runs !== false);
  const unable = bySize.filter(({ runs }) => runs === false);
  const advised = findAdvised(model, able);
  return html`<section class="panel" aria-labelledby="step">
    <div class="preview-head">
      <h2 id="step" tabindex="-1" data-step-title>Builds in ${repository}</h2>
      <p class="meta">
        Fewer bits a weight take less memory and answer faster; more are closer to the original. Memory for the
        context comes on top.
      </p>
    </div>
    ${
      missing === null
        ? nothing
        : html`<div class="notice warning">
            <div class="notice-text"><strong>There is no build ${missing}.</strong> These are all there are.</div>
          </div>`
    }
    ${
      able.length === 0
        ? html`<p class="help">None of them can run here.</p>`
        : html`<ul class="builds" aria-label="Builds">
            ${able.map((build) => renderBuild(model, build, build === advised, choose))}
          </ul>`
    }
    ${
      unable.length === 0
        ? nothing
        : html`<details class="unable" ?open=${able.length === 0}>
            <summary>${unable.length} ${able.length === 0 ? '' : 'more '}in formats that cannot run here</summary>
            <ul>
              ${unable.map(
                ({ quantization, name, byteLength }) =>
                  html`<li title=${name}>${quantization ?? name}, ${formatBytes(byteLength)}</li>`,
              )}
            </ul>
          </details>`
    }
  </section>`;
}

function renderBuild(
  model: ImportController,
  build: SourceBuild,
  isAdvised: boolean,
  choose: (build: SourceBuild) => void,
): TemplateResult {
  const { name, quantization, byteLength, fileCount, runs } = build;
  const file = fileCount > 1 ? `${name} and ${fileCount - 1} more` : name;
  const label = quantization ?? name;
  return html`<li class="build">
    <div>
      <p class="build-name">
        ${label}, ${formatBytes(byteLength)}
        ${isAdvised ? html`<span class="build-mark">Recommended</span>` : nothing}
        ${isStored(model, build) ? html`<span class="build-mark">On this device</span>` : nothing}
      </p>
      ${quantization === null ? nothing : html`<p class="build-place" title=${file}>${file}</p>`}
      ${renderFitBriefly(model.fitOfBuild(build, isStored(model, build)))}
      ${runs === null ? html`<p class="fit untested">Whether its format runs, its header will tell.</p>` : nothing}
    </div>
    <button
      class="button ${isAdvised ? 'loud' : ''}"
      type="button"
      aria-label="Choose ${label}, ${formatBytes(byteLength)}"
      @click=${() => choose(build)}
    >
      Choose
    </button>
  </li>`;
}

function findAdvised(model: ImportController, builds: readonly SourceBuild[]): SourceBuild | undefined {
  const suits = (build: SourceBuild) => {
    const fit = model.fitOfBuild(build, isStored(model, build));
    return fit !== null && !isDoubtful(fit);
  };
  return USUAL.map((usual) => builds.find((build) => build.quantization === usual)).find(
    (build) => build !== undefined && suits(build),
  );
}

function isStored({ stored }: ImportController, { source }: SourceBuild): boolean {
  const { url } = parseAddress(source.address);
  return stored.some((model) => model.source.url === url);
}
