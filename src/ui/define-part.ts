/** Registers an element unless the page has one of that name already (two copies of the library, hot reloading). */
export function definePart(name: string, elementClass: CustomElementConstructor): void {
  if (!customElements.get(name)) customElements.define(name, elementClass);
}
