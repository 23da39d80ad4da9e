#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// Options for all identities of a conditioning. Properties that are not set have the library's defaults.
    /// </summary>
    public sealed class ConditioningOptions
    {
        /// <summary>How weights are spread over the layers.</summary>
        public WeightType WeightType { get; set; }

        /// <summary>One more factor for each layer of the host, in the order of its table. Default: 1.</summary>
        public float[]? LayerScales { get; set; }

        /// <summary>How the weight acts on keys and values.</summary>
        public EmbedsScaling EmbedsScaling { get; set; }

        /// <summary>Whose rules for placing masks are followed.</summary>
        public MaskMode MaskMode { get; set; }

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

        internal unsafe NativeConditioningOptions ToNative(Pins pins)
        {
            if (LayerScales?.Length == 0)
                throw new ArgumentException("There must be one for each layer, or null.", nameof(LayerScales));
            NativeConditioningOptions native = NativeConditioningOptions.Create();
            native.WeightType = (int)WeightType;
            native.LayerScales = (float*)pins.Array(LayerScales);
            native.LayerScaleCount = (UIntPtr)(LayerScales?.Length ?? 0);
            native.EmbedsScaling = (int)EmbedsScaling;
            native.MaskMode = (int)MaskMode;
            native.Precision = (int)Precision;
            native.CompositionScale = Number(pins, CompositionScale);
            native.StyleBoost = Number(pins, StyleBoost);
            native.CompositionBoost = Number(pins, CompositionBoost);
            return native;
        }

        private static unsafe float* Number(Pins pins, float? value)
        {
            return (float*)pins.Array(value.HasValue ? new[] { value.Value } : null);
        }
    }
}
