/** The frame of every page: name, navigation, theme, what is private, and versions. The page itself is slotted. */
import { html, LitElement, nothing } from 'lit';
import { property, state } from 'lit/decorators.js';
import { controls } from '../../ui/controls.styles.ts';
import { icons, mark } from '../../ui/icons.ts';
import { base, tokens } from '../../ui/tokens.css.ts';
import { type OfflineState, startOffline } from '../offline.ts';
import { pageLink } from '../page-link.ts';
import { getTheme, setTheme, type Theme } from '../theme.ts';
import { versions } from '../versions.ts';
import { pageStyles } from './page.styles.ts';

const pages = [
  { name: 'chat', label: 'Chat', link: 'index' },
  { name: 'json', label: 'JSON', link: 'json' },
  { name: 'bench', label: 'Benchmark', link: 'bench' },
  { name: 'import', label: 'Import', link: 'import' },
  { name: 'storage', label: 'Storage', link: 'storage' },
] as const;

const themes: Record<Theme, { label: string; icon: (typeof icons)['sun']; next: Theme }> = {
  system: { label: 'Theme: as the system', icon: icons.auto, next: 'light' },
  light: { label: 'Theme: light', icon: icons.sun, next: 'dark' },
  dark: { label: 'Theme: dark', icon: icons.moon, next: 'system' },
};

/**
 * @slot - The page.
 */
export class TramontanePage extends LitElement {
  static override styles = [tokens, base, controls, pageStyles];

  /** Which page this is. */
  @property() current = '';
  @state() private theme: Theme = getTheme();
  @state() private isOnline = navigator.onLine;
  @state() private offline: OfflineState = { isReady: false, update: null };

  override connectedCallback(): void {
    super.connectedCallback();
    setTheme(this.theme, { keep: false });
    addEventListener('online', this.#onNetwork);
    addEventListener('offline', this.#onNetwork);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener('online', this.#onNetwork);
    removeEventListener('offline', this.#onNetwork);
  }

  protected override firstUpdated(): void {
    // On narrow windows the navigation scrolls.
    this.renderRoot.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
    void startOffline((state) => {
      this.offline = state;
    });
  }

  protected override render() {
    const theme = themes[this.theme];
    const { update } = this.offline;
    return html`
      <a class="skip" href="#main" @click=${this.#skip}>Skip to the content</a>
      <header>
        <a class="brand" href=${pageLink('index')}>${mark}<span>Tramontane</span></a>
        <nav aria-label="Pages">
          ${pages.map(
            ({ name, label, link }) =>
              html`<a href=${pageLink(link)} aria-current=${name === this.current ? 'page' : nothing}>${label}</a>`,
          )}
        </nav>
        <span class="privacy" title="The model runs in this tab. Nothing you write leaves this device.">
          ${icons.lock}<span>${this.#privacyText()}</span>
        </span>
        <button
          class="button plain icon"
          type="button"
          aria-label=${theme.label}
          title=${theme.label}
          @click=${() => this.#setTheme(theme.next)}
        >
          ${theme.icon}
        </button>
      </header>
      ${
        update === null
          ? nothing
          : html`<div class="update" role="status">
              <span>A new version of this page is ready.</span>
              <button class="button small" type="button" @click=${update}>Reload now</button>
            </div>`
      }
      <main id="main" tabindex="-1"><slot></slot></main>
      <footer>
        <span>Private by design: no server, no account, no tracking.</span>
        <span>Tramontane ${versions.tramontane} · WebLLM ${versions.webLlm}</span>
      </footer>
    `;
  }

  #privacyText(): string {
    if (!this.isOnline) return 'Offline, and working';
    return this.offline.isReady ? 'Private, works offline' : 'Private';
  }

  #setTheme(theme: Theme): void {
    this.theme = theme;
    setTheme(theme);
  }

  #skip(event: Event): void {
    event.preventDefault();
    this.renderRoot.querySelector<HTMLElement>('main')?.focus();
  }

  readonly #onNetwork = (): void => {
    this.isOnline = navigator.onLine;
  };
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-page': TramontanePage;
  }
}
