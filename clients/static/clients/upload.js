"use strict";
// One click, one upload. Without this script the form works the same, but a second click sends the file again.

const form = document.querySelector("form.upload");
const button = form && form.querySelector("button");
if (form) form.addEventListener("submit", () => {
    button.disabled = true;
    button.textContent = "Uploading …";
});
// Back by the browser's button, from its cache: the form is as good as new.
window.addEventListener("pageshow", (event) => {
    if (event.persisted && form) location.reload();
});
