/** Markdown as it may be read out: no signs, and code named instead of spelled. */
const MAX_LENGTH = 2000;

export function speakable(markdown: string): string {
  const text = markdown
    .split(/^ {0,3}(?:`{3,}|~{3,}).*$/m)
    .map((piece, index) => (index % 2 === 0 ? piece : ' Code block. '))
    .join('')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, (_whole, label: string) => label)
    .replace(/[*_`#>|]+/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}
