/* Pictures of a camera are scaled down before they are sent: the model looks at far fewer pixels, and the way is long. */
const LONGEST_SIDE = 2048;

/* The picture as it is, or a smaller JPEG of it; what the browser cannot read goes to the server as it is. */
const shrunk = async (file) => {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return file;
  }
  const scale = LONGEST_SIDE / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return file;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return blob ? new File([blob], file.name, { type: "image/jpeg" }) : file;
};
