import { defineConfig } from "vite";

// The page is embedded in the binary: one script, one style sheet, names without hashes so that a rebuild changes only
// what changed. The server sends both with no-cache and an ETag.
export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
    rollupOptions: {
      output: { entryFileNames: "editor.js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" },
    },
  },
});
