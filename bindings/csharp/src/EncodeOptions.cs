#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>How photos become an identity. Properties that are not set have the library's defaults.</summary>
    public sealed class EncodeOptions
    {
        /// <summary>How photos are cropped. Default: the model's own way.</summary>
        public Crop Crop { get; set; }

        /// <summary>
        /// With <see cref="Crop.Face"/>: margin on each side as a share of the face's longer side, 0 to 4.
        /// </summary>
        public float? CropMargin { get; set; }

        /// <summary>With <see cref="Crop.Aligned"/>: 1 is the template as published, 0.5 shows twice as much.</summary>
        public float? CropScale { get; set; }

        /// <summary>Photos that pass the image encoder together.</summary>
        public int? BatchSize { get; set; }

        /// <summary>What to do with a photo that cannot be used. Default: leave it out.</summary>
        public BadPhoto BadPhoto { get; set; }

        /// <summary>What to do with photos that look like somebody else than the others. Default: note it.</summary>
        public Strangers Strangers { get; set; }

        /// <summary>Do not keep the photos' features: smaller, but an Omni-ID identity cannot be extended.</summary>
        public bool DropFeatures { get; set; }

        /// <summary>
        /// How several photos are combined before the identity encoder. Default: the tokens of each photo, one after
        /// the other; when extending, what the identity was made with.
        /// </summary>
        public Combine Combine { get; set; }

        /// <summary>
        /// Weight of the image features of FaceID-PlusV2 beside the face embedding (s_scale, weight_faceidv2). The default
        /// is 1.
        /// </summary>
        public float? ShortcutScale { get; set; }

        /// <summary>
        /// A name to show, stored with the identity. Default: none; when extending, the identity's own.
        /// </summary>
        public string? Label { get; set; }

        /// <summary>What the person agreed to, stored with the identity. Default as for <see cref="Label"/>.</summary>
        public string? Consent { get; set; }

        internal unsafe NativeEncodeOptions ToNative(Pins pins)
        {
            NativeEncodeOptions native = NativeEncodeOptions.Create();
            native.Crop = (int)Crop;
            if (CropMargin.HasValue)
                native.CropMargin = CropMargin.Value;
            native.CropScale = CropScale ?? 0f;
            native.BatchSize = Convert.ToUInt32(BatchSize ?? 0);
            native.BadPhoto = (int)BadPhoto;
            native.Strangers = (int)Strangers;
            native.DropFeatures = DropFeatures ? 1 : 0;
            native.Combine = (int)Combine;
            native.HasShortcutScale = ShortcutScale.HasValue ? 1 : 0;
            native.ShortcutScale = ShortcutScale ?? 0f;
            native.Label = pins.Text(Label, nameof(Label));
            native.Consent = pins.Text(Consent, nameof(Consent));
            return native;
        }
    }
}
