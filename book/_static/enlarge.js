// A drawing opens large, above the page: by its link, or a click on it. Without a script
// the link leads to the drawing alone.
"use strict";
{
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.innerHTML = '<form method="dialog"><button>Close</button></form><div tabindex="0"></div>';
  const room = dialog.lastChild;

  const open = (picture) => {
    const shown = [...picture.querySelectorAll("img")].find((image) => image.offsetParent);
    const number = picture.closest("figure")?.querySelector(".caption-number")?.textContent;
    dialog.setAttribute("aria-label", `${number?.trim() ?? "Drawing"}, enlarged`);
    const image = new Image(shown.getAttribute("width"), shown.getAttribute("height"));
    image.src = shown.src; // the wide form: here it may be moved about
    image.alt = shown.alt;
    image.className = "dark-light";
    room.replaceChildren(image);
    if (!dialog.isConnected) document.body.append(dialog);
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const picture = event.target.closest?.(".book-picture");
    if (picture && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      open(picture);
    } else if (event.target === dialog) {
      dialog.close();
    }
  });
}
