#nullable enable
using System;
using System.Collections.Generic;
using System.Linq;
using Unity.InferenceEngine;

namespace OmniID.Unity
{
    /// <summary>
    /// The identity inputs of a graph in Unity's Inference Engine (Sentis): tensors that OmniID fills and the worker
    /// reads. Use it on the main thread. Dispose of it after the worker.
    /// </summary>
    public sealed class IdentityInputs : IDisposable
    {
        private readonly Graph graph;
        private readonly Dictionary<string, float[]> memory = new Dictionary<string, float[]>();
        private readonly Dictionary<string, Tensor<float>> tensors = new Dictionary<string, Tensor<float>>();

        /// <summary>Inputs of a graph. The graph stays the caller's.</summary>
        /// <exception cref="ArgumentException">
        /// The graph was written for another number type than f32, the one that Unity's tensors have.
        /// </exception>
        public IdentityInputs(Graph graph)
        {
            this.graph = graph ?? throw new ArgumentNullException(nameof(graph));
            if (graph.Info.Precision != Precision.F32)
            {
                throw new ArgumentException(
                    $"{graph.Info.FileName} takes {graph.Info.Precision}; write the graph in f32 for Unity.",
                    nameof(graph));
            }
        }

        /// <summary>Fills all identity inputs and hands them to a worker: once, before the first step.</summary>
        /// <param name="worker">A worker with the graph's model.</param>
        /// <param name="conditioning">The identities.</param>
        /// <param name="call">Scale and step.</param>
        /// <param name="roles">The side of guidance of each row of the batch.</param>
        public void Set(Worker worker, Conditioning conditioning, in GraphCall call, ReadOnlySpan<Role> roles = default)
        {
            Set(worker, conditioning, graph.Inputs, call, roles);
        }

        /// <summary>
        /// Fills what changes from step to step, scales and masks, and hands it to a worker. Needed only for identities
        /// that are limited to a range of steps, or when the call's scale changes.
        /// </summary>
        /// <param name="worker">A worker with the graph's model, after <see cref="Set"/>.</param>
        /// <param name="conditioning">The identities.</param>
        /// <param name="call">Scale and step.</param>
        /// <param name="roles">The side of guidance of each row of the batch.</param>
        public void SetStep(Worker worker, Conditioning conditioning, in GraphCall call,
            ReadOnlySpan<Role> roles = default)
        {
            Set(worker, conditioning, graph.Inputs.Where(input => input.ChangesWithStep).ToList(), call, roles);
        }

        private void Set(Worker worker, Conditioning conditioning, IReadOnlyList<GraphInput> inputs, in GraphCall call,
            ReadOnlySpan<Role> roles)
        {
            if (worker == null)
                throw new ArgumentNullException(nameof(worker));
            var shapes = new GraphShape[inputs.Count];
            var buffers = new GraphBuffer[inputs.Count];
            for (int i = 0; i < inputs.Count; i++)
            {
                string name = inputs[i].Name;
                shapes[i] = graph.Shape(conditioning, inputs[i], call, roles);
                int count = checked((int)(shapes[i].ByteSize / sizeof(float)));
                if (!memory.TryGetValue(name, out float[] values) || values.Length != count)
                    memory[name] = values = new float[count];
                buffers[i] = new GraphBuffer(name, values);
            }
            graph.Fill(conditioning, buffers, call, roles);
            for (int i = 0; i < inputs.Count; i++)
            {
                string name = inputs[i].Name;
                // Upload keeps the tensor where the worker has put it, which is the GPU for GPU backends.
                var shape = new TensorShape(shapes[i].Dimensions.ToArray());
                if (tensors.TryGetValue(name, out Tensor<float> tensor) && tensor.shape == shape)
                {
                    tensor.Upload(memory[name]);
                }
                else
                {
                    tensor?.Dispose();
                    tensors[name] = tensor = new Tensor<float>(shape, memory[name]);
                }
                worker.SetInput(name, tensor);
            }
        }

        /// <summary>Frees the tensors.</summary>
        public void Dispose()
        {
            foreach (Tensor<float> tensor in tensors.Values)
                tensor.Dispose();
            tensors.Clear();
            memory.Clear();
        }
    }
}
