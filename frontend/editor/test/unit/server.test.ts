// Lists that a combo names a route for are read from this server alone.
import { expect, it, vi } from "vitest";

vi.stubGlobal("location", new URL("http://127.0.0.1:8188/page/"));
const server = await import("../../src/server");

it("asks no other server", async () => {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (address: string) => { asked.push(address); return new Response('["a"]'); });
  expect(await server.choices("/models/loras")).toEqual(["a"]);
  for (const bad of ["//evil.example/x", "/http://evil.example/x", "/\\/evil.example/x", "https://evil.example/x", "/http://127.0.0.1:8189/x"]) await expect(server.choices(bad)).rejects.toThrow("alone");
  expect(asked).toEqual(["http://127.0.0.1:8188/page/models/loras"]);
  for (const bad of ["http://127.0.0.1:8188.evil.example/x", "http://127.0.0.1:81880/x", "", "a\nb"]) expect(server.isOwn(bad)).toBe(false);
});
