// The objects of all images as COCO JSON with run lengths.

export function toCoco(session) {
  const names = [...new Set(session.images.flatMap((image) => image.objects.map((object) => object.label)))].sort();
  const seen = session.images.filter((image) => image.size), annotations = [];
  seen.forEach((image, i) => {
    for (const { label, mask } of image.objects) {
      if (!mask?.area) continue;
      annotations.push({
        id: annotations.length + 1, image_id: i + 1, category_id: names.indexOf(label) + 1, iscrowd: 0,
        segmentation: { size: [image.size.height, image.size.width], counts: mask.counts }, area: mask.area, bbox: mask.bbox,
      });
    }
  });
  return {
    info: { description: 'annotated with saywhere in a browser' },
    images: seen.map(({ name, size }, i) => ({ id: i + 1, file_name: name, width: size.width, height: size.height })),
    categories: names.map((name, i) => ({ id: i + 1, name })),
    annotations,
  };
}

/** Offer a text to the user as a file. */
export function download(name, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
