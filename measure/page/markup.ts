/** HTML or SVG that is safe to put into a page as it is. */
export interface Markup {
  readonly markup: string;
}

/** What can stand in a template: texts are escaped, nothing and false leave no trace. */
export type Content = Markup | string | number | false | undefined | readonly Content[];

/** A template of HTML or SVG. Names from files go in as they are; what HTML would obey in them is escaped. */
export function html(parts: TemplateStringsArray, ...contents: readonly Content[]): Markup {
  return { markup: parts.map((part, i) => part + (i < contents.length ? written(contents[i]) : '')).join('') };
}

/** Text that is markup already, such as a style sheet; the caller answers for it. */
export function raw(markup: string): Markup {
  return { markup };
}

function written(content: Content): string {
  if (content === undefined || content === false) return '';
  if (typeof content === 'number') return String(content);
  if (typeof content === 'string') return escaped(content);
  return 'markup' in content ? content.markup : content.map(written).join('');
}

function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replaceAll(/[&<>"']/g, (character) => names[character]!).replaceAll(/(?![\n\t])\p{Cc}/gu, '\uFFFD');
}
