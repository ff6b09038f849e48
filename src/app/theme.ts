/** The page's theme: the system's, unless the person chose one. Remembered for the next visit. */
export type Theme = 'system' | 'light' | 'dark';

const KEY = 'tramontane-theme';

/** Storage may be switched off; then the choice lasts as long as the page. */
function read(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch (error) {
    if (error instanceof DOMException) return null;
    throw error;
  }
}

function write(theme: Theme): void {
  try {
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

export function getTheme(): Theme {
  const theme = document.documentElement.dataset.theme ?? read();
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

/** Shows a theme, and keeps it unless `keep` is false. */
export function setTheme(theme: Theme, { keep = true } = {}): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  if (keep) write(theme);
}
