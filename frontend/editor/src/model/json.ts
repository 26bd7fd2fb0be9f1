// JSON whose integers beyond 2^53 stay exact: they become bigint. Seeds go up to 2^64-1.

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };
export type Obj = { [key: string]: Json };

const mark = "\u0001int:";
const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** parse reads JSON; NaN and Infinity, which old files hold, read as null. */
export function parse(text: string): Json {
  const marked = text.replace(token, (t) =>
    t.length < 16 || !/^-?\d+$/.test(t) || Number.isSafeInteger(Number(t)) ? t : `"\\u0001int:${t}"`,
  );
  try {
    return revive(marked);
  } catch (error) {
    const sound = marked.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (t) => (t[0] === '"' ? t : "null"));
    if (sound === marked) throw error;
    return revive(sound);
  }
}

function revive(text: string): Json {
  return JSON.parse(text, (_, v) => (typeof v === "string" && v.startsWith(mark) ? BigInt(v.slice(mark.length)) : v));
}

export function stringify(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, (_, v) => (typeof v === "bigint" ? mark + v : v), indent);
  return text.replace(/"\\u0001int:(-?\d+)"/g, "$1");
}

export const isObj = (v: unknown): v is Obj => typeof v === "object" && v !== null && !Array.isArray(v);
