"""Fine-tuning of Step-Audio-EditX's language model, with adapters or as a whole."""
