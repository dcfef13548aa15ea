/* Takes a picture with the camera of this device. */
{
  let stream = null;
  const dialog = () => part("camera");
  const stop = () => {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
  };
  if (!navigator.mediaDevices?.getUserMedia) part("open-camera").hidden = true;

  element.addEventListener("click", async (event) => {
    const action = event.target.closest("button")?.dataset.part;
    const video = dialog().querySelector("video");
    if (action === "open-camera") {
      say("");
      try {
        stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      } catch {
        say("The browser gave no access to a camera.");
        return;
      }
      video.srcObject = stream;
      dialog().showModal();
      video.play();
    } else if (action === "shoot" && video.videoWidth) {
      const canvas = document.createElement("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      dialog().close();
      canvas.toBlob((blob) => take(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
    } else if (action === "close-camera") {
      dialog().close();
    }
  });
  dialog().addEventListener("close", stop);
}
