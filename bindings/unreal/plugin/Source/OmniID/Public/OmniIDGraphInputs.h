/*
 * The identity inputs of a graph, with their memory: for hosts that run a whole model, such as NNE. Does not depend on
 * Unreal.
 */
#pragma once

#include "OmniIDNative.h"

#include <string>
#include <utility>
#include <vector>

namespace omniid_plugin {

/// One identity input of a graph, filled.
struct GraphInput {
	std::string name;                                   ///< Its name in the graph.
	omniid::GraphShape shape;                           ///< Its shape, bytes and number type.
	omniid::GraphInputKind kind = omniid::GraphInputKind::keys; ///< What it carries.
	std::vector<unsigned char> memory;                  ///< Its numbers.
};

/// Fills the identity inputs of a graph and keeps them. Its memory stays where it is until the next fill().
class GraphInputs {
  public:
	/// Takes a graph over.
	explicit GraphInputs(omniid::Graph graph) : graph_(std::move(graph)) {}

	/// The graph.
	[[nodiscard]] const omniid::Graph &graph() const noexcept { return graph_; }

	/// The inputs after fill().
	[[nodiscard]] std::vector<GraphInput> &inputs() noexcept { return inputs_; }

	/// The input with a name; null if there is none.
	[[nodiscard]] GraphInput *find(const std::string &name) noexcept {
		for (GraphInput &input : inputs_) {
			if (input.name == name) return &input;
		}
		return nullptr;
	}

	/// Fills all inputs: once, before the first step. After a failure the inputs are those of before.
	omniid::Result<void> fill(const omniid::Conditioning &conditioning, const omniid::GraphCall &call) {
		const omniid::Result<omniid::GraphInfo> info = graph_.describe();
		if (!info) return info.error();
		std::vector<GraphInput> inputs;
		for (std::size_t i = 0; i < info->input_count; i++) {
			const omniid::Result<omniid::GraphInput> described = graph_.input(i);
			if (!described) return described.error();
			omniid::Result<omniid::GraphShape> shape = graph_.shape(conditioning, call, i);
			if (!shape) return shape.error();
			GraphInput input;
			input.name = described->name;
			input.kind = described->kind;
			input.memory.resize(shape->byte_size);
			input.shape = std::move(shape).value();
			inputs.push_back(std::move(input));
		}
		omniid::Result<void> filled = fill(conditioning, call, inputs, true);
		if (filled) inputs_ = std::move(inputs);
		return filled;
	}

	/// Fills what changes from step to step: scales and masks.
	omniid::Result<void> fill_step(const omniid::Conditioning &conditioning, const omniid::GraphCall &call) {
		return fill(conditioning, call, inputs_, false);
	}

  private:
	omniid::Result<void> fill(const omniid::Conditioning &conditioning, const omniid::GraphCall &call,
		std::vector<GraphInput> &inputs, bool all) const {
		std::vector<omniid::GraphBuffer> buffers;
		for (GraphInput &input : inputs) {
			const bool changes =
				input.kind == omniid::GraphInputKind::scale || input.kind == omniid::GraphInputKind::mask;
			if (!all && !changes) continue;
			buffers.emplace_back(input.name.c_str(), input.memory.data(), input.memory.size());
			buffers.back().precision = input.shape.precision;
			buffers.back().shape = input.shape.shape;
		}
		return graph_.fill(conditioning, call, buffers);
	}

	omniid::Graph graph_;
	std::vector<GraphInput> inputs_;
};

} // namespace omniid_plugin
