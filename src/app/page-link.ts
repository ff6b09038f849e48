/** Addresses of the site's pages. They keep this page's parameters (`?engine=fake`), but not what it was opened for. */
const OF_ONE_PAGE = ['model', 'resume'];

export function pageLink(
  name: 'index' | 'json' | 'bench' | 'import' | 'storage',
  parameters: { model?: string; resume?: string } = {},
): string {
  const search = new URLSearchParams(location.search);
  for (const own of OF_ONE_PAGE) search.delete(own);
  for (const [key, value] of Object.entries(parameters)) search.set(key, value);
  const text = search.toString();
  return `./${name}.html${text === '' ? '' : `?${text}`}`;
}
