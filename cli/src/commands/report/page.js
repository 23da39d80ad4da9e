"use strict";
// Without this script, the page shows everything one below the other; with it, sliders choose.
(() => {
  const inside = (data) => Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));

  // Generated pictures: one set is shown, chosen by the number of photos and the strength.
  const sets = [...document.querySelectorAll("[data-set]")];
  if (sets.length) {
    const controls = document.getElementById("picture-controls");
    const counts = controls.dataset.counts.split(",");
    const strengths = controls.dataset.strengths.split(",");
    const count = document.getElementById("count");
    const strength = document.getElementById("strength");
    const show = () => {
      const chosen = `${counts[count.value]}/${strengths[strength.value]}`;
      const photos = counts[count.value] === "1" ? "1 photo" : `${counts[count.value]} photos`;
      document.getElementById("count-text").textContent = photos;
      document.getElementById("strength-text").textContent = strengths[strength.value];
      count.setAttribute("aria-valuetext", photos);
      strength.setAttribute("aria-valuetext", strengths[strength.value]);
      for (const set of sets) set.hidden = set.dataset.set !== chosen;
    };
    count.addEventListener("input", show);
    strength.addEventListener("input", show);
    // A slider of one place chooses nothing.
    for (const slider of [count, strength]) slider.parentElement.hidden = slider.max === "0";
    controls.hidden = false;
    show();
  }

  // Attention: a query's map over every crop.
  const data = document.getElementById("attention-data");
  if (data) {
    const { side, queries, places, ...encoded } = JSON.parse(data.textContent);
    const maps = inside(encoded.maps);
    const colours = inside(encoded.colours);
    const query = document.getElementById("query");
    const pictures = [...document.querySelectorAll("[data-crop]")];
    const paint = () => {
      const number = Number(query.value);
      const text = number === 0 ? "all queries" : `query ${number - 1}`;
      document.getElementById("query-text").textContent = text;
      query.setAttribute("aria-valuetext", text);
      document.getElementById("query-place").textContent = places[number];
      pictures.forEach((canvas, photo) => {
        const context = canvas.getContext("2d");
        const crop = canvas.previousElementSibling;
        const start = (photo * (queries + 1) + number) * side * side;
        const cell = canvas.width / side;
        context.globalAlpha = 1;
        context.drawImage(crop, 0, 0, canvas.width, canvas.height);
        context.globalAlpha = 0.5;
        for (let place = 0; place < side * side; place++) {
          const colour = 3 * maps[start + place];
          context.fillStyle = `rgb(${colours[colour]},${colours[colour + 1]},${colours[colour + 2]})`;
          context.fillRect((place % side) * cell, Math.floor(place / side) * cell, cell, cell);
        }
        canvas.setAttribute("aria-label", `Photo ${photo + 1}: where ${text} look${number ? "s" : ""}`);
      });
    };
    const ready = () => {
      for (const canvas of pictures) {
        canvas.hidden = false;
        canvas.parentElement.querySelector(".mean").hidden = true;
      }
      document.getElementById("attention-controls").hidden = false;
      query.addEventListener("input", paint);
      paint();
    };
    Promise.all(pictures.map((canvas) => canvas.previousElementSibling.decode())).then(ready, ready);
  }
})();
