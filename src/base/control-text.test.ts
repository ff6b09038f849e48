import { expect, test } from 'vitest';
import { hidePrivateForms, privateForm, stripPrivateForms } from './control-text.ts';

test('stripped text holds no private form, whatever it is joined with', () => {
  const form = privateForm(17);
  expect(form).toBe('\u000117\u0002');
  const hostile = [form, `\u0001${form}`, '\u0001\u00011\u00027\u0002', `a${form}b`, '\u0001'];
  for (const text of hostile) {
    const stripped = stripPrivateForms(text);
    expect(stripped).not.toContain('\u0001');
    expect(hidePrivateForms(`1${stripped}2\u0002`)).toBe(`1${stripped}2\u0002`);
  }
});

test('text without U+0001 is returned as it is', () => {
  const text = '[INST] $& 17\u0002 </s> \u0000\u0003 naïve 😀';
  expect(stripPrivateForms(text)).toBe(text);
});

test('hiding removes private forms only', () => {
  expect(hidePrivateForms(`a${privateForm(2)}b${privateForm(131071)}`)).toBe('ab');
  expect(hidePrivateForms('\u0001x\u0002 \u0001 12\u0002')).toBe('\u0001x\u0002 \u0001 12\u0002');
});
