#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>PuLID's published combinations of zero tokens and injection.</summary>
    public enum PulidMode
    {
        /// <summary>8 zero tokens, <see cref="Injection.OrthogonalV2"/>: most like the person.</summary>
        Fidelity,

        /// <summary>
        /// 16 zero tokens, <see cref="Injection.Orthogonal"/>: most like the picture without the identity.
        /// </summary>
        Style,

        /// <summary>No zero tokens, <see cref="Injection.Add"/>.</summary>
        Neutral,
    }

    /// <summary>
    /// Options for all identities of a conditioning. Properties that are not set have the library's defaults.
    /// </summary>
    public sealed class ConditioningOptions
    {
        /// <summary>
        /// The default options with PuLID's zero tokens and injection. PuLID's own weight is 0.8.
        /// </summary>
        public static ConditioningOptions Pulid(PulidMode mode)
        {
            switch (mode)
            {
                case PulidMode.Fidelity:
                    return new ConditioningOptions { ZeroTokens = 8, Injection = Injection.OrthogonalV2 };
                case PulidMode.Style:
                    return new ConditioningOptions { ZeroTokens = 16, Injection = Injection.Orthogonal };
                case PulidMode.Neutral:
                    return new ConditioningOptions();
                default:
                    throw new ArgumentOutOfRangeException(nameof(mode));
            }
        }

        /// <summary>How weights are spread over the layers.</summary>
        public WeightType WeightType { get; set; }

        /// <summary>One more factor for each layer of the host, in the order of its table. Default: 1.</summary>
        public float[]? LayerScales { get; set; }

        /// <summary>How the weight acts on keys and values.</summary>
        public EmbedsScaling EmbedsScaling { get; set; }

        /// <summary>Whose rules for placing masks are followed.</summary>
        public MaskMode MaskMode { get; set; }

        /// <summary>How an identity's attention joins the layer's output.</summary>
        public Injection Injection { get; set; }

        /// <summary>
        /// Number of further tokens with zero keys and values that take part in each softmax, up to 65536.
        /// </summary>
        public int ZeroTokens { get; set; }

        /// <summary>Whether the values of InstantX's FLUX adapter are normalised like its keys.</summary>
        public bool NormaliseValues { get; set; }

        /// <summary>
        /// For SD3.5, the denoising timesteps, 0 to 1000, to compute keys and values for: that of the step, or all of
        /// the schedule.
        /// </summary>
        public float[]? Timesteps { get; set; }

        /// <summary>Number type of the stored keys and values.</summary>
        public Precision Precision { get; set; }

        /// <summary>
        /// Weight of the composition layers of the weight types "style and composition". Default: the identity's scale.
        /// </summary>
        public float? CompositionScale { get; set; }

        /// <summary>Weight of the swapped layers of "style transfer precise". Default: the identity's scale.</summary>
        public float? StyleBoost { get; set; }

        /// <summary>Weight of the swapped layers of "composition precise". Default: the identity's scale.</summary>
        public float? CompositionBoost { get; set; }

        /// <summary>
        /// Share of WithAnyone's second token set, 0 to 1; the first one has the rest. Default: both count in full.
        /// </summary>
        public float? SiglipWeight { get; set; }

        internal unsafe NativeConditioningOptions ToNative(Pins pins)
        {
            if (LayerScales?.Length == 0)
                throw new ArgumentException("There must be one for each layer, or null.", nameof(LayerScales));
            if (ZeroTokens < 0)
                throw new ArgumentOutOfRangeException(nameof(ZeroTokens), ZeroTokens, "There cannot be fewer than 0.");
            NativeConditioningOptions native = NativeConditioningOptions.Create();
            native.WeightType = (int)WeightType;
            native.LayerScales = (float*)pins.Array(LayerScales);
            native.LayerScaleCount = (UIntPtr)(LayerScales?.Length ?? 0);
            native.EmbedsScaling = (int)EmbedsScaling;
            native.MaskMode = (int)MaskMode;
            native.Precision = (int)Precision;
            native.Timesteps = (float*)pins.Array(Timesteps);
            native.TimestepCount = (UIntPtr)(Timesteps?.Length ?? 0);
            native.Injection = (int)Injection;
            native.ZeroTokens = (UIntPtr)ZeroTokens;
            native.NormaliseValues = NormaliseValues ? 1 : 0;
            native.CompositionScale = Number(pins, CompositionScale);
            native.StyleBoost = Number(pins, StyleBoost);
            native.CompositionBoost = Number(pins, CompositionBoost);
            native.SiglipWeight = Number(pins, SiglipWeight);
            return native;
        }

        private static unsafe float* Number(Pins pins, float? value)
        {
            return (float*)pins.Array(value.HasValue ? new[] { value.Value } : null);
        }
    }
}
