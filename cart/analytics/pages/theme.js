// Loaded before the page is drawn: apply the theme that was chosen on an earlier visit, else the system's theme.
const dark = matchMedia("(prefers-color-scheme: dark)");

function storedTheme() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // the browser allows no storage
  }
}

function isDark() {
  return (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
}

function themeChanged() {
  document.getElementById("theme").textContent = isDark() ? "Light theme" : "Dark theme";
  document.dispatchEvent(new Event("themechange"));
}

if (storedTheme()) {
  document.documentElement.dataset.theme = storedTheme();
}
dark.addEventListener("change", themeChanged);
document.addEventListener("DOMContentLoaded", () => {
  themeChanged();
  document.getElementById("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", document.documentElement.dataset.theme);
    } catch {
      // no storage: the choice lasts until the page is closed
    }
    themeChanged();
  });
});
